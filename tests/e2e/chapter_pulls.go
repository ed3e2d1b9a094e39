//go:build linux

package main

import (
	"net/http"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// byHand are values of a release whose ticks are all made by hand, and that may
// tell why pods are not ready.
const byHand = `suspend: true
rolloutTimeout: 1m
rbac: {readPods: true}
`

// installed is an application of one Deployment, web, that a first tick has
// accepted.
func (c *chapter) installed(values string, options ...workloads.Option) (image string) {
	c.begin()
	digest := c.push(webImage, c.release("serve", "web 1", both()...), "web 1")
	image = webImage + "@" + digest
	c.application("web", image, options...)
	c.holds("web", image, 1, "web 1")
	c.install(values + byHand)
	require.Equal(c, "adopted", c.tick(0).outcome("web", "web").Outcome)
	return image
}

// I24: an install-time digest lacked arm64; pods failed with "no match for
// platform". Here it is the node's own platform.
func theWrongPlatform(c *chapter) {
	image := c.installed(webTarget + "resolveFailureThreshold: 2\nrolloutFailureThreshold: 1\n")
	c.push(webImage, c.release("serve", "web 2", "linux/arm64"), "web 2, for arm64 alone, and this node is amd64")
	require.Equal(c, "platform-missing", c.tick(0).outcome("web", "web").Cause)
	t := c.tick(1)
	assert.Contains(c, t.message, "platform-missing")
	assert.Contains(c, t.message, "linux/amd64")
	require.Contains(c, c.events("web"), "ResolveFailing")
	c.holds("web", image, 1, "web 1")

	c.Say("Somebody insists, and tells the chart that arm64 is all that is needed. Now the kubelet has to say it.")
	c.values("values.yaml", strings.Replace(webTarget, "    workloads:", "    platforms: [linux/arm64]\n    workloads:", 1)+"rolloutFailureThreshold: 1\n"+byHand)
	c.typed("helm upgrade image-refresh ./chart --namespace " + c.namespace + " --values values.yaml | sed -n 1,6p")
	t = c.tick(1)
	require.Equal(c, "rolled-back", t.outcome("web", "web").Outcome)
	assert.Regexp(c, "ErrImagePull|ImagePullBackOff", t.message)
	assert.Contains(c, t.message, "no match for platform")
	assert.Subset(c, keys(c.events("web")), []string{"RolloutFailed", "RolledBack"})
	c.holds("web", image, 3, "web 1")
}

// crashDeadline ends a rollout between the second crash, after some 10 to 20 s,
// and the third, 20 s later: its reason is CrashLoopBackOff then.
const crashDeadline = 27

// A single replica that is stopped before the new one starts (I39).
func theCrash(c *chapter) {
	image := c.installed(webTarget, workloads.Recreate(), workloads.ProgressDeadline(crashDeadline))
	c.push(webImage, c.release("crash", "no such database", both()...), "web 2, which crashes")
	t := c.tick(1)
	require.Equal(c, "rolled-back", t.outcome("web", "web").Outcome)
	assert.Contains(c, t.message, "CrashLoopBackOff")
	assert.Subset(c, keys(c.events("web")), []string{"RolloutFailed", "RolledBack"})
	c.holds("web", image, 3, "web 1")
	third := c.push(webImage, c.release("serve", "web 3", both()...), "web 3, which works")
	require.Equal(c, "refreshed", c.tick(0).outcome("web", "web").Outcome)
	c.holds("web", webImage+"@"+third, 4, "web 3")
}

// A manifest is there, and its layers are not (I34).
func theMissingLayers(c *chapter) {
	image := c.installed(webTarget + "rolloutFailureThreshold: 2\n")
	second := c.push(webImage, c.release("serve", "web 2", both()...), "web 2, whose layers the registry has lost")
	remove := c.site.Front.Inject(registries.Fault{
		Match: registries.Of(webRepository, registries.At("", registries.Blob)),
		Do:    faultinject.Reply(http.StatusNotFound, `{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry"}]}`),
	})
	defer remove()
	t := c.tick(1)
	require.Equal(c, "failed", t.outcome("web", "web").Outcome)
	assert.Regexp(c, "ErrImagePull|ImagePullBackOff", t.message)
	require.Equal(c, webImage+"@"+second, workloads.Image(c.deployment("web"), "api"))
	c.serves("web", "web 1")
	c.Say("The old pods still serve. The second failure of this digest is its last.")
	t = c.tick(1)
	require.Equal(c, "rolled-back", t.outcome("web", "web").Outcome)
	assert.Regexp(c, "ErrImagePull|ImagePullBackOff", t.message)
	c.holds("web", image, 3, "web 1")
	c.Say("A rejected digest stays loud until the tag moves on.")
	require.Equal(c, "rejected", c.tick(1).outcome("web", "web").Outcome)
	remove()
	third := c.push(webImage, c.release("serve", "web 3", both()...), "web 3, and the registry is whole again")
	require.Equal(c, "refreshed", c.tick(0).outcome("web", "web").Outcome)
	c.holds("web", webImage+"@"+third, 4, "web 3")
}

func keys[V any](m map[string]V) []string {
	var all []string
	for key := range m {
		all = append(all, key)
	}
	return all
}
