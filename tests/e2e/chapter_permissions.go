//go:build linux

package main

import (
	"fmt"
	"slices"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Every permission of the chart's Role, taken away one by one.
func thePermissions(c *chapter) {
	c.installed(webTarget + "rolloutFailureThreshold: 1\n")
	build := 1
	next := func(mode string) {
		build++
		c.push(webImage, c.release(mode, fmt.Sprintf("web %d", build), both()...), fmt.Sprintf("web %d", build))
	}

	restore := c.without("get", "deployments")
	c.checks("get", "deployments")
	assert.Contains(c, c.tick(1).message, "forbids get on deployments web")
	restore()

	restore = c.without("patch", "deployments")
	c.checks("patch", "deployments")
	next("serve")
	assert.Contains(c, c.tick(1).message, "forbids patch on deployments web")
	restore()
	require.Equal(c, "refreshed", c.tick(0).outcome("web", "web").Outcome)

	for _, verb := range []string{"list", "watch"} {
		restore = c.without(verb, "deployments")
		c.checks(verb, "deployments")
		next("serve")
		c.Say("A tick that may not " + verb + " sees its rollout through all the same, by reading again and again.")
		require.Equal(c, "refreshed", c.tick(0).outcome("web", "web").Outcome)
		restore()
	}

	restore = c.without("create", "events")
	c.checks("create", "events")
	next("serve")
	c.Say("An Event that cannot be written is a warning: the release matters more.")
	t := c.tick(0)
	require.Equal(c, "refreshed", t.outcome("web", "web").Outcome)
	assert.Regexp(c, "cannot create resource .*events", t.log)
	restore()

	restore = c.without("list", "pods")
	next("crash")
	t = c.tick(1)
	require.Equal(c, "rolled-back", t.outcome("web", "web").Outcome)
	assert.Contains(c, t.message, "grant list on pods")
	restore()
	c.serves("web", fmt.Sprintf("web %d", build-1))
}

// without takes a verb on a resource out of the release's Role.
func (c *chapter) without(verb, resource string) (restore func()) {
	c.Say(fmt.Sprintf("The Role loses the verb %s on %s.", verb, resource))
	roles := c.client.RbacV1().Roles(c.namespace)
	role, err := roles.Get(c.ctx, "image-refresh", metav1.GetOptions{})
	require.NoError(c, err)
	whole := role.DeepCopy()
	taken := false
	for i := range role.Rules {
		if slices.Contains(role.Rules[i].Resources, resource) {
			taken = taken || slices.Contains(role.Rules[i].Verbs, verb)
			role.Rules[i].Verbs = slices.DeleteFunc(role.Rules[i].Verbs, func(v string) bool { return v == verb })
		}
	}
	require.True(c, taken, "the Role grants %s on %s", verb, resource)
	role.Rules = slices.DeleteFunc(role.Rules, func(rule rbacv1.PolicyRule) bool { return len(rule.Verbs) == 0 })
	_, err = roles.Update(c.ctx, role, metav1.UpdateOptions{})
	require.NoError(c, err)
	return func() {
		whole.ResourceVersion = ""
		_, err := roles.Update(c.ctx, whole, metav1.UpdateOptions{})
		require.NoError(c, err)
	}
}

// checks runs the preflight in the CronJob's own pod: it must name what is
// missing.
func (c *chapter) checks(verb, resource string) {
	c.ticks++
	job := fmt.Sprintf("check-%d", c.ticks)
	c.typed(fmt.Sprintf("kubectl create job %s --from=cronjob/image-refresh --namespace %s --dry-run=client --output yaml | sed 's/- run$/- check/' | kubectl create --filename -", job, c.namespace))
	t := c.finished(job, 1)
	assert.Regexp(c, "may not "+verb+".* "+resource, t.message)
}
