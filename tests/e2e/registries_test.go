//go:build e2e && linux

package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/docs"
	"github.com/tracebloc/image-refresh/tests/realnode"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// Both have ghcr.io for themselves, one after the other.
func TestGHCR(t *testing.T) {
	t.Parallel()
	t.Run("I25: the pull secret's account expires", accountExpires)
	t.Run("a firewall cuts the way to one of two registries", firewall)
}

// I25: a registry's robot account expired, and nothing was wrong until the next rollout, weeks later.
func accountExpires(t *testing.T) {
	s := newSuite(t, "secret")
	const robot = "robot"
	secret := func(password string) *corev1.Secret {
		s.site.GHCR.AddAccount(robot, password, s.repository("reports"))
		return &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "ghcr-pull"}, Type: corev1.SecretTypeDockerConfigJson,
			Data: map[string][]byte{
				corev1.DockerConfigJsonKey: fmt.Appendf(nil, `{"auths": {"ghcr.io": {"username": %q, "password": %q}}}`, robot, password),
			},
		}
	}
	first := s.push("reports", "serve", "reports 1")
	s.site.GHCR.SetPrivate(s.repository("reports"), true)
	_, err := s.client.CoreV1().Secrets(s.namespace).Create(t.Context(), secret("first"), metav1.CreateOptions{})
	require.NoError(t, err)
	s.deploy("reports", first, workloads.PullSecret("ghcr-pull"))
	s.holds("reports", first, 1, "reports 1")
	s.install("targets:\n" + s.target("reports") + "pullSecrets: [{name: ghcr-pull}]\nresolveFailureThreshold: 2\n" + byHand)
	s.tick(0, "reports adopted")

	s.site.GHCR.RemoveAccount(robot)
	s.site.GHCR.RevokeTokens()
	second := s.push("reports", "serve", "reports 2")
	tick := s.tick(0)
	require.Equal(t, "unauthorized", tick.report.Target("reports").Cause)
	message := s.tick(1).message
	assert.Contains(t, message, "unauthorized")
	assert.Contains(t, message, "ghcr-pull")
	require.Contains(t, s.events("reports"), "ResolveFailing")
	s.holds("reports", first, 1, "reports 1")

	_, err = s.client.CoreV1().Secrets(s.namespace).Update(t.Context(), secret("second"), metav1.UpdateOptions{})
	require.NoError(t, err)
	s.tick(0, "reports refreshed")
	s.holds("reports", second, 2, "reports 2")
	s.pulled("reports", second)
}

// Pods of two registries, and a firewall between them and one.
func firewall(t *testing.T) {
	s := newSuite(t, "firewall")
	for _, name := range []string{"web", "reports"} {
		digest := s.push(name, "serve", name+" 1")
		s.deploy(name, digest)
		s.holds(name, digest, 1, name+" 1")
	}
	s.install("targets:\n" + s.target("web") + s.target("reports") + "resolveFailureThreshold: 2\nresolveTimeout: 3s\n" + byHand)
	s.tick(0, "web adopted", "reports adopted")

	cut := func(what string) (restore func()) {
		rule := fmt.Sprintf("--source %s --destination %s --protocol tcp --dport 443 --jump %s", realnode.PodNetwork, ghcrAddress, what)
		t.Log("iptables --insert INPUT " + rule)
		remove, err := realnode.Firewall(t.Context(), "INPUT", rule)
		require.NoError(t, err)
		return func() { require.NoError(t, remove(t.Context())) }
	}
	restore := cut("DROP")
	reports, web := s.push("reports", "serve", "reports 2"), s.push("web", "serve", "web 2")
	tick := s.tick(0, "web refreshed")
	require.Equal(t, "timeout", tick.report.Target("reports").Cause)
	s.holds("web", web, 2, "web 2")
	tick = s.tick(1)
	assert.Contains(t, tick.message, "timeout")
	assert.Contains(t, tick.message, "ghcr.io:443")
	for _, command := range []string{ // a failed tick tells why without its log
		"kubectl describe pod " + tick.pod.Name + ` --namespace "$NAMESPACE" | grep --after-context 12 'State: .*Terminated'`,
		`kubectl get events --namespace "$NAMESPACE" --field-selector reason=ResolveFailing,involvedObject.name=reports`,
		`kubectl get deploy reports --namespace "$NAMESPACE" -o jsonpath='{.metadata.annotations.tracebloc\.io/reports-refresh-last-error}'`,
	} {
		require.Contains(t, s.typed(command), "ghcr.io:443")
	}
	s.confirmed("ghcr.io:443")
	restore()

	restore = cut("REJECT --reject-with tcp-reset")
	tick = s.tick(1)
	require.Equal(t, "connection-refused", tick.report.Target("reports").Cause)
	restore()
	s.tick(0, "reports refreshed")
	s.holds("reports", reports, 2, "reports 2")
	require.NotContains(t, s.deployment("reports").Annotations, "tracebloc.io/reports-refresh-last-error")

	// What the runbook says about two alerts: a tick now, and an end to the suspension.
	printed := s.pasted("Alert: failed", false)
	job := regexp.MustCompile(`job.batch/(\S+) created`).FindStringSubmatch(printed)
	require.NotNil(t, job, printed)
	s.finished(job[1], 0)
	s.pasted("Alert: suspended", false)
	require.Contains(t, s.pasted("Alert: suspended", true), "False")
}

// confirmed follows the runbook as somebody would who was paged about a tick that failed: what is said first, and what about each
// alert. All of it leads to the text, which is in the tick's message.
func (s *suite) confirmed(text string) {
	printed := s.pasted(docs.RunbookStart, false)
	for _, expected := range []string{
		"cronjob.batch/image-refresh", text, "✓ registry", "deployment/reports", "Phase:",
	} {
		require.Contains(s, printed, expected)
	}
	job := regexp.MustCompile(`job.batch/(now-\d+) created`).FindStringSubmatch(printed)
	require.NotNil(s, job, printed)
	s.finished(job[1], 1)
	for alert, expected := range map[string][]string{
		"Alert: failed":          {text},
		"Alert: stale":           {"Suspend:", "0/1", "failed with exit code 1"},
		"Alert: never succeeded": {"✗ registry", text},
		"Alert: suspended":       {"True"},
	} {
		printed := s.pasted(alert, true)
		for _, expected := range expected {
			require.Contains(s, printed, expected, alert)
		}
	}
}

// pasted runs the commands of a section of the runbook that confirm something, or the others, and returns what they print.
func (s *suite) pasted(section string, confirms bool) string {
	s.Helper()
	page, err := docs.Runbook()
	require.NoError(s, err)
	var all strings.Builder
	for _, script := range page[section] {
		if script.Confirms == confirms {
			printed, _ := s.shell(script.Text) // what the commands come to is in what they print
			all.WriteString(printed)
		}
	}
	require.NotEmpty(s, all.String(), section)
	return all.String()
}
