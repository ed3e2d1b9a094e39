//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/product"
)

// tick is what a Job of the CronJob left behind.
type tick struct {
	job      string
	complete bool
	pod      corev1.Pod
	// message is the termination message, as kubectl describe pod shows it.
	message  string
	exitCode int
	report   *product.Report
	log      string
}

// tick runs a tick by hand, and returns what became of it.
func (c *chapter) tick(exitCode int) tick {
	return c.finished(c.start(), exitCode)
}

// start makes a Job of the CronJob, as a person does.
func (c *chapter) start() (job string) {
	c.ticks++
	job = fmt.Sprintf("now-%d", c.ticks)
	c.typed(fmt.Sprintf("kubectl create job %s --from=cronjob/image-refresh --namespace %s", job, c.namespace))
	return job
}

// finished waits until a Job has ended, which must be with this exit code, and
// shows its termination message.
func (c *chapter) finished(job string, exitCode int) tick {
	t := tick{job: job}
	c.eventually("Job "+job+" has ended", func() bool {
		read, err := c.client.BatchV1().Jobs(c.namespace).Get(c.ctx, job, metav1.GetOptions{})
		require.NoError(c, err)
		t.complete = is(read, batchv1.JobComplete)
		return t.complete || is(read, batchv1.JobFailed)
	})
	pods, err := c.client.CoreV1().Pods(c.namespace).List(c.ctx, metav1.ListOptions{LabelSelector: "batch.kubernetes.io/job-name=" + job})
	require.NoError(c, err)
	require.Len(c, pods.Items, 1, "pods of Job %s", job)
	t.pod = pods.Items[0]
	require.Len(c, t.pod.Status.ContainerStatuses, 1)
	ended := t.pod.Status.ContainerStatuses[0].State.Terminated
	require.NotNil(c, ended, "the tick's container has ended: %+v", t.pod.Status)
	t.message, t.exitCode = ended.Message, int(ended.ExitCode)
	raw, err := c.client.CoreV1().Pods(c.namespace).GetLogs(t.pod.Name, &corev1.PodLogOptions{}).Do(c.ctx).Raw()
	require.NoError(c, err)
	t.log = string(raw)
	c.Output(t.message)
	c.Exit(t.exitCode)
	require.Equal(c, exitCode, t.exitCode, "the tick's log:\n%s", t.log)
	require.Equal(c, exitCode == 0, t.complete, "Job %s is complete", job)
	t.report = result(t.log)
	return t
}

func is(job *batchv1.Job, wanted batchv1.JobConditionType) bool {
	return slices.ContainsFunc(job.Status.Conditions, func(condition batchv1.JobCondition) bool {
		return condition.Type == wanted && condition.Status == corev1.ConditionTrue
	})
}

// result finds the program's result between the lines of its log.
func result(log string) *product.Report {
	at := strings.Index("\n"+log, "\n{\n")
	if at < 0 {
		return nil
	}
	report := &product.Report{}
	if err := json.NewDecoder(strings.NewReader(log[at:])).Decode(report); err != nil {
		return nil
	}
	return report
}

// outcome is what a tick says of a workload.
func (t tick) outcome(target, workload string) product.Workload {
	return t.report.Target(target).Workload(workload)
}
