package workload_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/config"
)

// What a scenario does not show of what is doubtful about a variable.
func TestDoubt(t *testing.T) {
	t.Parallel()
	api := func(variables ...corev1.EnvVar) corev1.PodSpec { return pod(container("api", "nginx", variables...)) }
	ours, chart := update("image-refresh", 2, inPod(apiOwns(`{".":{},"f:name":{},"f:value":{}}`))), `"k:{\"name\":\"api\"}":{".":{}}`
	for name, c := range map[string]struct {
		spec   corev1.PodSpec
		owners []metav1.ManagedFieldsEntry
		leave  bool
		says   string // empty: nothing
	}{
		"missing, nothing near": {spec: api(env("PORT", "80")), says: "and a tick adds it; correct the target's env, unless the application reads it"},
		"missing, and left so":  {spec: api(), leave: true, says: "and whenEmpty: leave leaves it so; "},
		"in another container": {
			spec: withInit(pod(container("api", "nginx", env("DIGESTS", ""))), container("fetch", "nginx", env("DIGEST", "x"))),
			says: "did you mean container fetch, which has it?",
		},
		"in capitals":        {spec: api(env("digest", "x")), says: "did you mean digest?"},
		"empty":              {spec: api(env("DIGEST", ""))},
		"ours, nothing near": {spec: api(env("DIGEST", string(digestA)), env("PORT", "80")), owners: []metav1.ManagedFieldsEntry{ours, update("helm", 1, inPod(chart))}, says: "pinned by its owner?"},
		"ours, a slip": {
			spec: api(env("DIGEST", ""), env("DIGESTS", "")), owners: []metav1.ManagedFieldsEntry{ours, update("helm", 1, inPod(chart))},
			says: "did you mean DIGESTS? then correct the target's env, and remove this one: kubectl set env -n tracebloc deployment/stg-jobs-manager -c api DIGEST-",
		},
		"the deployer's": {
			spec:   api(env("DIGEST", ""), env("DIGESTS", "")),
			owners: []metav1.ManagedFieldsEntry{update("helm", 1, inPod(apiOwns(`{".":{},"f:name":{}}`))), update("other", 1, inPod(chart))},
		},
		"nobody's, as all": {spec: api(env("DIGEST", ""), env("DIGESTS", ""))},
	} {
		o := object(t, config.Deployment, c.spec, c.owners...)
		doubt := o.Doubt(find(t, o, ingestor, config.Workload{Container: "api", Env: "DIGEST", LeaveEmpty: c.leave}), keys, "ingestor")
		if c.says == "" {
			assert.Nil(t, doubt, name)
		} else if assert.NotNil(t, doubt, name) {
			assert.Contains(t, doubt.Error(), c.says, name)
		}
	}
}
