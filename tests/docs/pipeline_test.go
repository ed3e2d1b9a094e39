package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// assertPipelineCommits runs the steps of the workflow in docs/gitops.md, as written, in a clone with the page's targets: it commits
// the digests, once.
func assertPipelineCommits(t *testing.T, environ []string) {
	t.Helper()
	text, err := Snippet("docs/gitops.md", "workflow")
	require.NoError(t, err)
	var workflow struct {
		Jobs map[string]struct{ Steps []struct{ Uses, Run string } }
	}
	require.NoError(t, yaml.Unmarshal([]byte(text), &workflow))
	targets, err := Snippet("docs/gitops.md", "targets.yaml")
	require.NoError(t, err)
	remote, clone := t.TempDir(), t.TempDir()
	output(t, "", "git", "init", "--quiet", "--bare", "--initial-branch", "main", remote)
	output(t, "", "git", "clone", "--quiet", remote, clone)
	require.NoError(t, os.WriteFile(filepath.Join(clone, "targets.yaml"), []byte(targets), 0o600))
	for range 2 {
		for _, step := range workflow.Jobs["commit"].Steps {
			cmd := exec.CommandContext(t.Context(), "bash", "-e", "-c", step.Run)
			cmd.Dir, cmd.Env = clone, environ
			printed, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s\n%s", step.Run, printed)
		}
	}
	assert.Equal(t, "1", output(t, "", "git", "--git-dir", remote, "rev-list", "--count", "main"), "what did not change is not committed again")
	committed := output(t, "", "git", "--git-dir", remote, "show", "main:digests.yaml")
	assert.Regexp(t, `ingestor:\n  digest: sha256:\w{64}\nproxy:\n  image:\n    digest: sha256:\w{64}`, committed)
}
