//go:build e2e && linux

package e2e

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Every permission of the chart's Role is taken away once, and each is named: by the command check, and by a tick that needs it.
func TestPermissions(t *testing.T) {
	t.Parallel()
	s, _ := installed(t, "permissions", "rolloutFailureThreshold: 1\n")
	served := "web 1"
	for i, c := range []struct {
		verb, resource string
		unchecked      bool   // pods are read where something is wrong
		mode           string // of a release that is published meanwhile
		exitCode       int
		outcome        string
		message, log   string
	}{
		{verb: "get", resource: "deployments", exitCode: 1, message: "forbids get on deployments web"},
		{verb: "patch", resource: "deployments", mode: "serve", exitCode: 1, message: "forbids patch on deployments web"},
		// A rollout is seen through all the same, by reading again and again.
		{verb: "list", resource: "deployments", mode: "serve", outcome: "refreshed"},
		{verb: "watch", resource: "deployments", mode: "serve", outcome: "refreshed"},
		// An Event that cannot be written is a warning: the release matters more.
		{verb: "create", resource: "events", mode: "serve", outcome: "refreshed", log: "cannot create resource .*events"},
		{verb: "list", resource: "pods", unchecked: true, mode: "crash", exitCode: 1, outcome: "rolled-back", message: "grant list on pods"},
	} {
		restore := s.without(c.verb, c.resource)
		if !c.unchecked {
			job := fmt.Sprintf("check-%d", i)
			s.typed("kubectl create job " + job + ` --from=cronjob/image-refresh --namespace "$NAMESPACE" --dry-run=client --output yaml |` +
				" sed 's/- run$/- check/' | kubectl create --filename -")
			assert.Regexp(t, "may not "+c.verb+".* "+c.resource, s.finished(job, 1).message)
		}
		if c.mode != "" {
			text := fmt.Sprintf("web without %s on %s", c.verb, c.resource)
			s.push("web", c.mode, text)
			if c.mode == "serve" {
				served = text
			}
		}
		tick := s.tick(c.exitCode)
		assert.Contains(t, tick.message, c.message)
		assert.Regexp(t, c.log, tick.log)
		if c.outcome != "" {
			require.Equal(t, c.outcome, tick.workload("web").Outcome)
		}
		restore()
		if c.verb == "patch" {
			s.tick(0, "web refreshed")
		}
	}
	s.serves("web", served)
}

// without takes a verb on a resource out of the release's Role.
func (s *suite) without(verb, resource string) (restore func()) {
	roles := s.client.RbacV1().Roles(s.namespace)
	role, err := roles.Get(s.Context(), "image-refresh", metav1.GetOptions{})
	require.NoError(s, err)
	whole := role.DeepCopy()
	granted := false
	for i := range role.Rules {
		if slices.Contains(role.Rules[i].Resources, resource) {
			granted = granted || slices.Contains(role.Rules[i].Verbs, verb)
			role.Rules[i].Verbs = slices.DeleteFunc(role.Rules[i].Verbs, func(v string) bool { return v == verb })
		}
	}
	require.True(s, granted, "the Role grants %s on %s", verb, resource)
	role.Rules = slices.DeleteFunc(role.Rules, func(rule rbacv1.PolicyRule) bool { return len(rule.Verbs) == 0 })
	_, err = roles.Update(s.Context(), role, metav1.UpdateOptions{})
	require.NoError(s, err)
	s.Logf("the Role loses the verb %s on %s", verb, resource)
	return func() {
		whole.ResourceVersion = ""
		_, err := roles.Update(s.Context(), whole, metav1.UpdateOptions{})
		require.NoError(s, err)
	}
}
