package chart

import (
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// Artifact Hub drops an annotation that it cannot read, without a word.
func TestArtifactHubAnnotationsAreWellFormed(t *testing.T) {
	t.Parallel()
	var chart struct {
		Version, AppVersion string
		Annotations         map[string]string
	}
	text, err := yaml.Marshal(values(t, filepath.Join(chartDir, "Chart.yaml")))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &chart))
	read := func(name string, into any) {
		require.Contains(t, chart.Annotations, name)
		require.NoError(t, yaml.UnmarshalStrict([]byte(chart.Annotations[name]), into), name)
	}
	for name := range chart.Annotations {
		assert.Contains(t, []string{
			"artifacthub.io/category", "artifacthub.io/changes", "artifacthub.io/images", "artifacthub.io/license", "artifacthub.io/links",
		}, name, "no such annotation, or one without a test")
	}
	assert.Equal(t, "Apache-2.0", chart.Annotations["artifacthub.io/license"])
	assert.Equal(t, "integration-delivery", chart.Annotations["artifacthub.io/category"])

	var changes []struct{ Kind, Description string }
	read("artifacthub.io/changes", &changes)
	require.NotEmpty(t, changes)
	for _, change := range changes {
		assert.Contains(t, []string{"added", "changed", "deprecated", "removed", "fixed", "security"}, change.Kind)
		assert.NotEmpty(t, change.Description)
	}

	var images []struct {
		Name, Image string
		Platforms   []string
	}
	read("artifacthub.io/images", &images)
	require.Len(t, images, 1)
	example := []string{"--values", filepath.Join(chartDir, "ci", "default-values.yaml")}
	assert.Equal(t, container(t, decode(t, helms[0].mustTemplate(t, chartDir, example...))).Image, images[0].Image, "the image that the chart installs")
	assert.Equal(t, []string{"linux/amd64", "linux/arm64"}, images[0].Platforms)

	var links []struct{ Name, URL string }
	read("artifacthub.io/links", &links)
	require.NotEmpty(t, links)
	for _, link := range links {
		assert.NotEmpty(t, link.Name)
		parsed, err := url.Parse(link.URL)
		require.NoError(t, err)
		assert.Equal(t, "https", parsed.Scheme)
		if path, is := strings.CutPrefix(link.URL, "https://github.com/tracebloc/image-refresh/blob/main/"); is {
			assert.FileExists(t, filepath.Join("../..", path))
		}
	}
}

// The chart says what it needs: the first version that keeps a CronJob's time zone and a Job's failure policy, and for the
// admission policy the first that has one.
func TestOlderClustersAreRefused(t *testing.T) {
	t.Parallel()
	forEachHelm(t, func(t *testing.T, h helm) {
		example := []string{"--values", filepath.Join(chartDir, "ci", "default-values.yaml")}
		for version, policy := range map[string]bool{"1.27.0": false, "1.29.15": false, "1.30.0": true, "1.34.4-eks-1": true, "1.36.3": true} {
			_, err := h.template(t, chartDir, append(example, "--kube-version", version)...)
			require.NoError(t, err, version)
			_, err = h.template(t, chartDir, append(example, "--kube-version", version, "--set", "admissionPolicy.enabled=true")...)
			assert.Equal(t, policy, err == nil, "%s: %v", version, err)
		}
		_, err := h.template(t, chartDir, append(example, "--kube-version", "1.26.15")...)
		require.ErrorContains(t, err, "incompatible with Kubernetes v1.26.15")
	})
}
