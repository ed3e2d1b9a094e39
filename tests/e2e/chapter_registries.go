//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/docs"
	"github.com/tracebloc/image-refresh/tests/realnode"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

const (
	reportsRepository = "tracebloc/reports"
	reportsImage      = "ghcr.io/" + reportsRepository + ":1"
)

const reportsTarget = `  - name: reports
    image: ` + reportsImage + `
    workloads:
      - {kind: Deployment, name: reports, container: api}
`

// I25: a registry's robot account expired, and nothing was wrong until the next
// rollout, weeks later.
func theDeadSecret(c *chapter) {
	c.begin()
	first := c.push(reportsImage, c.release("serve", "reports 1", both()...), "reports 1, which only the robot account may pull")
	image := reportsImage + "@" + first
	c.site.GHCR.SetPrivate(reportsRepository, true)
	defer c.site.GHCR.SetPrivate(reportsRepository, false)
	c.robot("first")
	c.application("reports", image, workloads.PullSecret("ghcr-pull"))
	c.holds("reports", image, 1, "reports 1")
	c.install("targets:\n" + reportsTarget + "pullSecrets: [{name: ghcr-pull}]\nresolveFailureThreshold: 2\n" + byHand)
	require.Equal(c, "adopted", c.tick(0).outcome("reports", "reports").Outcome)

	c.site.GHCR.RemoveAccount(robotName)
	c.site.GHCR.RevokeTokens()
	second := c.push(reportsImage, c.release("serve", "reports 2", both()...), "reports 2; and the robot account has expired")
	t := c.tick(0)
	require.Equal(c, "unauthorized", t.report.Target("reports").Cause)
	t = c.tick(1)
	assert.Contains(c, t.message, "unauthorized")
	assert.Contains(c, t.message, "ghcr-pull")
	require.Contains(c, c.events("reports"), "ResolveFailing")
	c.holds("reports", image, 1, "reports 1")

	c.Say("Loud, while the old pods run. The account is made anew, and the Secret updated.")
	c.robot("second")
	require.Equal(c, "refreshed", c.tick(0).outcome("reports", "reports").Outcome)
	c.holds("reports", reportsImage+"@"+second, 2, "reports 2")
	c.pulled("reports", "ghcr.io/"+reportsRepository+"@"+second)
}

const robotName = "robot"

// robot lets the robot account in with a password, and has the Secret say so.
func (c *chapter) robot(password string) {
	c.site.GHCR.AddAccount(robotName, password, reportsRepository)
	login, err := json.Marshal(map[string]any{"auths": map[string]any{"ghcr.io": map[string]string{"username": robotName, "password": password}}})
	require.NoError(c, err)
	secrets := c.client.CoreV1().Secrets(c.namespace)
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "ghcr-pull"}, Type: corev1.SecretTypeDockerConfigJson,
		Data: map[string][]byte{corev1.DockerConfigJsonKey: login},
	}
	if _, err = secrets.Update(c.ctx, secret, metav1.UpdateOptions{}); err != nil {
		_, err = secrets.Create(c.ctx, secret, metav1.CreateOptions{})
	}
	require.NoError(c, err)
}

// Two registries, and a firewall between the pods and one of them.
func theFirewall(c *chapter) {
	c.firewalled()
	cut := func(what string) func() {
		rule := fmt.Sprintf("--source %s --destination %s --protocol tcp --dport 443 --jump %s", realnode.PodNetwork, ghcrAddress, what)
		c.Command("iptables --insert INPUT " + rule)
		remove, err := realnode.Firewall(c.ctx, "INPUT", rule)
		require.NoError(c, err)
		return func() {
			c.Command("iptables --delete INPUT " + rule)
			require.NoError(c, remove(c.ctx))
		}
	}
	restore := cut("DROP")
	second := c.push(reportsImage, c.release("serve", "reports 2", both()...), "reports 2")
	web := c.push(webImage, c.release("serve", "web 2", both()...), "web 2")
	t := c.tick(0)
	require.Equal(c, "timeout", t.report.Target("reports").Cause)
	require.Equal(c, "refreshed", t.outcome("web", "web").Outcome, "docker.io goes on")
	c.holds("web", webImage+"@"+web, 2, "web 2")
	t = c.tick(1)
	assert.Contains(c, t.message, "timeout")
	assert.Contains(c, t.message, "ghcr.io:443")
	c.explained(t, "reports", "ghcr.io:443")
	c.pages("ghcr.io:443")
	restore()

	c.Say("A firewall that refuses is told from one that swallows.")
	restore = cut("REJECT --reject-with tcp-reset")
	require.Equal(c, "connection-refused", c.tick(1).report.Target("reports").Cause)
	restore()
	require.Equal(c, "refreshed", c.tick(0).outcome("reports", "reports").Outcome)
	c.holds("reports", reportsImage+"@"+second, 2, "reports 2")
	require.NotContains(c, c.deployment("reports").Annotations, "tracebloc.io/reports-refresh-last-error")
	c.mends()
}

// firewalled is an application on two registries.
func (c *chapter) firewalled() {
	c.begin()
	web := c.push(webImage, c.release("serve", "web 1", both()...), "web 1")
	reports := c.push(reportsImage, c.release("serve", "reports 1", both()...), "reports 1")
	c.application("web", webImage+"@"+web)
	c.application("reports", reportsImage+"@"+reports)
	c.holds("web", webImage+"@"+web, 1, "web 1")
	c.holds("reports", reportsImage+"@"+reports, 1, "reports 1")
	c.install(webTarget + reportsTarget + "resolveFailureThreshold: 2\nresolveTimeout: 3s\n" + byHand)
	t := c.tick(0)
	require.Equal(c, "adopted", t.outcome("web", "web").Outcome)
	require.Equal(c, "adopted", t.outcome("reports", "reports").Outcome)
}

// explained says that a failed Job tells why without its logs.
func (c *chapter) explained(t tick, workload, text string) {
	c.Say("The Job has failed. What an operator sees without reading a log:")
	described := c.typed(fmt.Sprintf("kubectl describe pod %s --namespace %s | grep --after-context 12 'State: .*Terminated'", t.pod.Name, c.namespace))
	require.Contains(c, described, text)
	events := c.typed(fmt.Sprintf("kubectl get events --namespace %s --field-selector reason=ResolveFailing,involvedObject.name=%s", c.namespace, workload))
	require.Contains(c, events, text)
	last := c.typed(fmt.Sprintf("kubectl get deploy %s --namespace %s -o jsonpath='{.metadata.annotations.tracebloc\\.io/%s-refresh-last-error}'", workload, c.namespace, workload))
	require.Contains(c, last, text)
}

// pages follows the runbook as somebody would who was paged about a tick that
// failed: what is said first, and what about each alert. All of it leads to
// the text, which is in the tick's message.
func (c *chapter) pages(text string) {
	c.Say("Somebody is paged, and opens docs/runbook.md.")
	printed := c.pasted(docs.RunbookStart, false)
	for _, expected := range []string{"cronjob.batch/image-refresh", text, "✓ registry", "deployment/reports", "Phase:", "job.batch/now created"} {
		require.Contains(c, printed, expected)
	}
	c.finished("now", 1)
	for alert, expected := range map[string][]string{
		"Alert: failed": {text}, "Alert: stale": {"Suspend:", "0/1", "failed with exit code 1"}, "Alert: never succeeded": {"✗ registry", text}, "Alert: suspended": {"True"},
	} {
		printed := c.pasted(alert, true)
		for _, expected := range expected {
			require.Contains(c, printed, expected, alert)
		}
	}
}

// mends does what the runbook says about two alerts: a tick now, and an end to
// the suspension.
func (c *chapter) mends() {
	printed := c.pasted("Alert: failed", false)
	job := regexp.MustCompile(`job.batch/(\S+) created`).FindStringSubmatch(printed)
	require.NotNil(c, job, printed)
	c.finished(job[1], 0)
	c.pasted("Alert: suspended", false)
	require.Contains(c, c.pasted("Alert: suspended", true), "False")
}

// pasted runs the commands of a section of the runbook that confirm something,
// or the others, with its variables set; what they come to is in what they print.
func (c *chapter) pasted(section string, confirms bool) string {
	page, err := docs.Runbook()
	require.NoError(c, err)
	var all strings.Builder
	for _, script := range page[section] {
		if script.Confirms != confirms {
			continue
		}
		c.Command(strings.TrimSpace(script.Text))
		printed, err := c.shell("export NAMESPACE=" + c.namespace + " RELEASE=image-refresh\n" + script.Text)
		c.Output(printed)
		if err != nil {
			c.Say("The last of these has failed: " + err.Error())
		}
		all.WriteString(printed)
	}
	require.NotEmpty(c, all.String(), section)
	return all.String()
}
