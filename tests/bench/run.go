package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// contender is a program that is measured.
type contender struct {
	name string
	args []string // its path among them
	env  []string
}

// cost is what one run has used, as launch tells it.
type cost struct {
	Wall      time.Duration `json:"wall"`
	CPU       time.Duration `json:"cpu"`
	Memory    int64         `json:"memory"`
	Processes int           `json:"processes"`
	ExitCode  int           `json:"exitCode"`
}

// run runs a contender once, in an empty home as in a fresh pod, and fails where it does.
func (w *world) run(ctx context.Context, c contender, options ...string) (cost, error) {
	w.runs++
	home := filepath.Join(w.dir, fmt.Sprintf("home-%d", w.runs))
	if err := os.Mkdir(home, 0o700); err != nil {
		return cost{}, err
	}
	defer func() { _ = os.RemoveAll(home) }() // it is in the world's folder, which goes as a whole
	reader, writer, err := os.Pipe()
	if err != nil {
		return cost{}, err
	}
	defer func() { _ = reader.Close() }()
	cmd := exec.CommandContext(ctx, w.launch, append(options, c.args...)...) //nolint:gosec // the program that is to be measured
	cmd.Dir, cmd.Env = home, append([]string{"HOME=" + home, "TMPDIR=" + home}, c.env...)
	cmd.ExtraFiles = []*os.File{writer}
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	err = cmd.Start()
	_ = writer.Close() // the child has its own
	if err != nil {
		return cost{}, err
	}
	var used cost
	decoded := json.NewDecoder(reader).Decode(&used)
	if err := errors.Join(cmd.Wait(), decoded); err != nil {
		return cost{}, fmt.Errorf("run %s: %w\n%s", c.name, err, tail(output.Bytes()))
	}
	if used.ExitCode != 0 {
		return cost{}, fmt.Errorf("%s ended with exit code %d:\n%s", c.name, used.ExitCode, tail(output.Bytes()))
	}
	return used, nil
}

func tail(text []byte) []byte { return text[max(0, len(text)-4000):] }

// alternate runs the contenders in turn, so that what disturbs the machine disturbs all of them, and returns the
// costs of each. The first round warms up and does not count. Before each run, ready may set the stage.
func (w *world) alternate(ctx context.Context, rounds int, ready func(contender) error, contenders ...contender) ([][]cost, error) {
	costs := make([][]cost, len(contenders))
	for round := range rounds + 1 {
		for i, c := range contenders {
			if ready != nil {
				if err := ready(c); err != nil {
					return nil, err
				}
			}
			used, err := w.run(ctx, c)
			if err != nil {
				return nil, err
			}
			if round > 0 {
				costs[i] = append(costs[i], used)
			}
		}
	}
	return costs, nil
}
