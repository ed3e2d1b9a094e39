package chart

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/product"
)

var update = flag.Bool("update", false, "write testdata/mistakes.txt with what is said now")

// No mistake is silent: Helm or the program names the key, and what would be right, in two lines at most. Both Helms say the same.
func TestMistakes(t *testing.T) {
	t.Parallel()
	program, err := product.Build(t.Context(), t.TempDir(), false, os.Stderr)
	require.NoError(t, err)
	const golden = "testdata/mistakes.txt"
	text, err := os.ReadFile(golden)
	require.NoError(t, err)
	blocks := strings.Split(strings.TrimSpace(string(text)), "\n\n")
	require.Greater(t, len(blocks), 40)
	t.Run("each", func(t *testing.T) {
		for i, block := range blocks[1:] { // the first says what the file is
			lines := strings.SplitN(block, "\n", 3)
			key, command := strings.TrimPrefix(lines[0], "# "), strings.TrimPrefix(lines[1], "$ ")
			t.Run(key, func(t *testing.T) {
				t.Parallel()
				said := says(t, helms[0], program, command)
				assert.Equal(t, said, says(t, helms[1], program, command))
				assert.Contains(t, strings.NewReplacer("/0", "[0]", "/", ".").Replace(said), key)
				_, own, schema := strings.Cut(said, "\nimage-refresh:\n") // below Helm's heading
				if !schema {
					own = said
				}
				assert.LessOrEqual(t, strings.Count(own, "\n"), 1, said)
				blocks[i+1] = strings.Join(append(lines[:2], said), "\n")
				assert.True(t, *update || blocks[i+1] == block, "says:\n%s\nwhere this was right, run: cd tests && go test ./chart -run Mistakes -update", said)
			})
		}
	})
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(strings.Join(blocks, "\n\n")+"\n"), 0o600))
	}
}

// says runs a command that must fail, and returns what it says is wrong.
func says(t *testing.T, h helm, program, command string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(dir, "image-refresh"), os.DirFS(chartDir)))
	require.NoError(t, os.CopyFS(filepath.Join(dir, "app"), os.DirFS("testdata/app")))
	require.NoError(t, os.CopyFS(filepath.Join(dir, "app/charts/image-refresh"), os.DirFS(chartDir)))
	least, err := os.ReadFile(filepath.Join(chartDir, "ci", "default-values.yaml"))
	require.NoError(t, err)
	for _, name := range []string{"values.yaml", "config.yaml"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), least, 0o600))
	}
	bin := filepath.Join(dir, "bin")
	require.NoError(t, os.Mkdir(bin, 0o700))
	require.NoError(t, os.Symlink(h.path, filepath.Join(bin, "helm")))
	require.NoError(t, os.Symlink(program, filepath.Join(bin, "image-refresh")))
	run := exec.CommandContext(t.Context(), "sh", "-ec", command)
	run.Dir = dir
	run.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + dir, "KUBECONFIG=" + os.DevNull}
	var stderr strings.Builder
	run.Stderr = &stderr
	require.Error(t, run.Run(), "nothing is wrong with: %s", command)
	var said []string
	for line := range strings.Lines(stderr.String()) {
		var logged struct{ Msg string }
		if json.Unmarshal([]byte(line), &logged) == nil {
			line = logged.Msg
		}
		if line = strings.TrimRight(line, "\n"); line != "" && line != "tick done" && !strings.HasPrefix(line, "Use --debug flag ") {
			said = append(said, line)
		}
	}
	return strings.Join(said, "\n")
}
