//go:build linux

package main

import (
	"fmt"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8stypes "k8s.io/apimachinery/pkg/types"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/realnode"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// A rollout that hangs for a reason that no digest has is loud. Nothing is rejected or rolled back, and it goes on by itself.

// I49: a GPU was taken; the digest, which never ran, was rejected for good.
func theUnschedulable(c *chapter) {
	c.installed(webTarget, workloads.Recreate())
	job, second := c.refreshing(func() { c.cordon(true) })
	defer c.cordon(false)
	c.unblamed(c.finished(job, 1), "unschedulable")
	c.cordon(false)
	c.goesOn(second)
}

// cordon keeps new pods off the node, or lets them on it again.
func (c *chapter) cordon(on bool) {
	_, err := c.client.CoreV1().Nodes().Patch(c.ctx, realnode.Name, k8stypes.MergePatchType,
		fmt.Appendf(nil, `{"spec":{"unschedulable":%t}}`, on), metav1.PatchOptions{})
	require.NoError(c, err)
}

// I49: a quota. The tick's own pod has its last place, and the new pod comes once that is over.
func theQuota(c *chapter) {
	c.installed(webTarget)
	job, second := c.refreshing(func() {
		quotas := c.client.CoreV1().ResourceQuotas(c.namespace)
		_, err := quotas.Create(c.ctx, &corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Name: "pods"},
			Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("2")}},
		}, metav1.CreateOptions{})
		require.NoError(c, err)
		c.eventually("the quota is in force", func() bool {
			quota, err := quotas.Get(c.ctx, "pods", metav1.GetOptions{})
			return err == nil && quota.Status.Used.Pods().Value() == 2
		})
	})
	c.unblamed(c.finished(job, 1), "exceeded quota")
	c.goesOn(second)
}

// I50: one of 164 nodes was away; the rollout was rejected and rolled back on the others. Here it is the only one. What runs on
// it runs on, the tick among it.
func theNodeAway(c *chapter) {
	c.installed(webTarget+"rolloutTimeout: 75s\n", workloads.ProgressDeadline(300))
	job, second := c.refreshing(func() { require.NoError(c, c.node.GoAway()) })
	c.eventually("the tick has ended", func() bool { return len(c.running()) == 0 })
	require.NoError(c, c.node.ComeBack(c.ctx))
	c.unblamed(c.finished(job, 1), "its node may be away")
	c.goesOn(second)
}

// refreshing moves web's tag on, and has a tick find that out in the middle of a trouble.
func (c *chapter) refreshing(trouble func()) (job, second string) {
	release := make(chan struct{})
	remove := c.site.Front.Inject(registries.Fault{
		Match: registries.Of(webRepository, registries.At("", registries.Head)), Do: faultinject.Hold(release),
	})
	defer remove()
	second = c.push(webImage, c.release("serve", "web 2", both()...), "web 2")
	asked := c.heads()
	job = c.start()
	c.eventually("the tick has asked the registry", func() bool { return c.heads() > asked })
	trouble()
	close(release)
	c.eventually("the tick has begun a rollout", func() bool { return workloads.Revision(c.deployment("web")) == 2 })
	return job, second
}

// unblamed says that a tick was loud in these words, and holds nothing against the digest.
func (c *chapter) unblamed(t tick, words string) {
	told := t.outcome("web", "web")
	require.Equal(c, "not-settled", told.Cause, told.Message)
	assert.Contains(c, told.Message, words)
	for _, blame := range []string{`"rejected"`, `"failed"`} {
		require.NotContains(c, c.deployment("web").Annotations["tracebloc.io/web-refresh-state"], blame)
	}
}

// goesOn says that the rollout ends by itself: nothing was rolled back, and nothing is rolled again.
func (c *chapter) goesOn(digest string) {
	c.Say("The trouble is over.")
	c.holds("web", webImage+"@"+digest, 2, "web 2")
	c.tick(0)
	c.holds("web", webImage+"@"+digest, 2, "web 2")
}
