package bench

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFigures(t *testing.T) {
	t.Parallel()
	ours := []cost{{CPU: 2 * time.Second}, {CPU: time.Second}, {CPU: 4 * time.Second}}
	theirs := []cost{{CPU: 20 * time.Second}, {CPU: 30 * time.Second}, {CPU: 20 * time.Second}}
	assert.Equal(t, figure{2, 1, 4}, of(ours, cpu))
	assert.Equal(t, figure{1.5, 1, 2}, of(ours[:2], cpu))
	assert.Equal(t, figure{10, 5, 30}, ratio(ours, theirs, cpu), "run by run")
	assert.Equal(t, []string{"7 ms", "1.50 s", "12.3 s"}, []string{seconds(0.0071), seconds(1.5), seconds(12.34)})
}

func buildLaunch(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "launch")
	output, err := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-s -w", "-o", path, "./launch").CombinedOutput()
	require.NoError(t, err, string(output))
	return path
}

// launched runs a program by launch, in its home where it has one, and returns what it cost and printed.
func launched(t *testing.T, launch string, env []string, args ...string) (used cost, output string) {
	t.Helper()
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), launch, args...)
	cmd.Env = env
	cmd.ExtraFiles = []*os.File{writer}
	var printed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &printed
	require.NoError(t, cmd.Run(), printed.String())
	require.NoError(t, writer.Close())
	require.NoError(t, json.NewDecoder(reader).Decode(&used))
	require.NoError(t, reader.Close())
	return used, printed.String()
}

// What launch tells is about the program, and not about who has started it.
func TestLaunchMeasuresWhatItStarts(t *testing.T) {
	t.Parallel()
	used, _ := launched(t, buildLaunch(t), []string{"PATH=" + os.Getenv("PATH")}, "bash", "-c", "exit 3")
	assert.Equal(t, 3, used.ExitCode)
	assert.Positive(t, used.Wall)
	assert.Positive(t, used.CPU)
	assert.Positive(t, used.Memory)
	assert.Less(t, used.Memory, int64(16<<20), "a shell is small, and who starts it does not count")
}
