package docs

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/components"
)

// The README promises the versions that the chart takes and that tests run.
func TestTheReadmeNamesTheVersionsThatAreTested(t *testing.T) {
	t.Parallel()
	minor := func(file, pattern string) string {
		text, err := read(file)
		require.NoError(t, err)
		match := regexp.MustCompile(pattern + `v?(\d+\.\d+)`).FindStringSubmatch(text)
		require.NotNil(t, match, "%s has no %s", file, pattern)
		return match[1]
	}
	kubernetes := func(version components.Kubernetes) string {
		return regexp.MustCompile(`\d+\.\d+`).FindString(string(version))
	}
	const pinned = "tests/tools/versions.env"
	readme, err := read("README.md")
	require.NoError(t, err)
	words := strings.Join(strings.Fields(readme), " ")
	says := func(sentence string) {
		if !strings.Contains(words, sentence) {
			t.Errorf("the README does not say: %s", sentence)
		}
	}
	says(fmt.Sprintf("It needs Kubernetes %s or newer, and is tested on %s and %s, with Helm %s and %s.",
		minor("chart/Chart.yaml", `kubeVersion: ">=`), kubernetes(components.Kubernetes134), kubernetes(components.Kubernetes136),
		minor(pinned, "HELM3_VERSION="), minor(pinned, "HELM4_VERSION=")))
	says(fmt.Sprintf("You need Go %s,", minor(".go-version", "")))
}
