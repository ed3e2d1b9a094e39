package readme_test

import (
	"context"
	"flag"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/components"
	"github.com/tracebloc/image-refresh/tests/picture"
	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// After a change of what the program prints: go -C tests test ./readme -update-pictures
var update = flag.Bool("update-pictures", false, "draw docs/images anew")

// columns is how wide the terminal is.
const columns = 120

// The pictures in docs/images are what the program prints, in the world of the
// README: a plan, a check while a proxy refuses a registry, and the third tick
// in which it does.
func TestThePicturesShowWhatIsPrinted(t *testing.T) {
	tests, err := components.Root()
	require.NoError(t, err)
	root, dir := filepath.Dir(tests), t.TempDir()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "targets.yaml"), values.FindSubmatch(text)[1], 0o600))
	secret := filepath.Join(dir, "pull-secrets", namespace, "stg-regcred")
	require.NoError(t, os.MkdirAll(secret, 0o750))
	require.NoError(t, os.WriteFile(filepath.Join(secret, ".dockerconfigjson"), []byte(pullSecret), 0o600))
	binary, err := product.Build(t.Context(), dir, false, os.Stderr)
	require.NoError(t, err)
	c, site := world(t)
	environ := append(site.Environ(), "KUBECONFIG="+c.Kubeconfig(), "HOME="+dir, "LOG_LEVEL=error", "POD_NAMESPACE="+namespace,
		"PULL_SECRETS_DIR="+filepath.Join(dir, "pull-secrets"), "CONFIG_FILE=targets.yaml")
	shell := func(exit int, line string) string {
		t.Helper()
		cmd := exec.CommandContext(context.WithoutCancel(t.Context()), binary, strings.Fields(line)[1:]...)
		cmd.Dir, cmd.Env = dir, environ
		shown, err := picture.Terminal(cmd, columns)
		if exit == 0 {
			require.NoError(t, err, shown)
		}
		require.Equal(t, exit, cmd.ProcessState.ExitCode(), shown)
		return "\x1b[36m$ " + line + "\x1b[0m\n" + shown
	}
	const tick = "image-refresh run"
	shell(0, tick)
	require.Eventually(t, func() bool { // an annotation bumps the generation, and a busy controller lags behind it
		all, err := c.Client().AppsV1().Deployments(namespace).List(t.Context(), metav1.ListOptions{})
		return err == nil && !slices.ContainsFunc(all.Items, func(d appsv1.Deployment) bool { return !workloads.Settled(&d) })
	}, time.Minute, 50*time.Millisecond)
	_, err = site.Push("ghcr.io/tracebloc/ingestor:0.3", registries.Index("two", "linux/amd64", "linux/arm64"))
	require.NoError(t, err)
	compare(t, root, "plan", "What a tick would do", shell(0, "image-refresh plan"))
	site.Proxy.Refuse("ghcr.io", http.StatusForbidden)
	compare(t, root, "check", "A check while a proxy refuses a registry", shell(1, "image-refresh check"))
	shell(0, tick)
	shell(0, tick)
	compare(t, root, "tick", "The third tick in which a proxy refuses a registry", shell(1, tick)+"\x1b[31m[exit code 1]\x1b[0m\n")
}

// compare holds a picture against what was shown, or draws it anew.
func compare(t *testing.T, root, name, title, shown string) {
	t.Helper()
	file := filepath.Join(root, "docs", "images", name+".svg")
	drawn := regexp.MustCompile(`127\.0\.0\.1:\d{5}`).ReplaceAllString(picture.Draw(title, shown), "127.0.0.1:40000")
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o750))
		require.NoError(t, os.WriteFile(file, []byte(drawn), 0o600))
		return
	}
	kept, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, string(kept), drawn, "docs/images/%s.svg is stale: go -C tests test ./readme -update-pictures", name)
}
