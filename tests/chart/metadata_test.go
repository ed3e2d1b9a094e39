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
	annotations := values(t, chartDir, "Chart.yaml")["annotations"].(map[string]any)
	read := func(name string, into any) {
		text, _ := annotations["artifacthub.io/"+name].(string)
		require.NoError(t, yaml.UnmarshalStrict([]byte(text), into), name)
		delete(annotations, "artifacthub.io/"+name)
	}
	var changes []struct{ Kind, Description string }
	read("changes", &changes)
	require.NotEmpty(t, changes)
	for _, change := range changes {
		assert.Contains(t, []string{"added", "changed", "deprecated", "removed", "fixed", "security"}, change.Kind)
		assert.NotEmpty(t, change.Description)
	}
	var images []struct {
		Name, Image string
		Platforms   []string
	}
	read("images", &images)
	require.Len(t, images, 1)
	tick := tickOf(t, decode(t, helms[0].mustTemplate(t, chartDir, example("default")...)))
	assert.Equal(t, tick.Containers[0].Image, images[0].Image, "the image that the chart installs")
	assert.Equal(t, []string{"linux/amd64", "linux/arm64"}, images[0].Platforms)
	var links []struct{ Name, URL string }
	read("links", &links)
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
	assert.Equal(t, map[string]any{
		"artifacthub.io/license": "Apache-2.0", "artifacthub.io/category": "integration-delivery",
	}, annotations, "and no other, which would need a test")
}

// The chart says what it needs: the first version that keeps a CronJob's time zone and a Job's failure policy, and for the
// admission policy the first that has one.
func TestOlderClustersAreRefused(t *testing.T) {
	forEachHelm(t, func(t *testing.T, h helm) {
		for version, policy := range map[string]bool{"1.27.0": false, "1.29.15": false, "1.30.0": true, "1.34.4-eks-1": true, "1.36.3": true} {
			h.mustTemplate(t, chartDir, append(example("default"), "--kube-version", version)...)
			_, err := h.template(t, chartDir, append(example("default"), "--kube-version", version, "--set", "admissionPolicy.enabled=true")...)
			assert.Equal(t, policy, err == nil, "%s: %v", version, err)
		}
		_, err := h.template(t, chartDir, append(example("default"), "--kube-version", "1.26.15")...)
		require.ErrorContains(t, err, "incompatible with Kubernetes v1.26.15")
	})
}
