//go:build linux

package main

import (
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/workloads"
)

const databaseImage = "docker.io/tracebloc/database:prod"

const stuckTargets = webTarget + `  - name: reports
    image: ` + reportsImage + `
    workloads:
      - {kind: Deployment, name: web, container: api, env: REPORTS_DIGEST}
  - name: database
    image: ` + databaseImage + `
    workloads:
      - {kind: Deployment, name: database, container: api}
unsettledThreshold: 3
rolloutFailureThreshold: 1
`

const skipStreak = "tracebloc.io/refresh-skip-streak"

// I10: a pod was Pending on a volume, and every tick restarted it. I11: a pod
// was Running and never ready; refresh froze for all that it used, in green.
func theStuck(c *chapter) {
	c.begin()
	web := c.push(webImage, c.release("unready", "web 1", both()...), "web 1, which runs and is never ready")
	reports := c.push(reportsImage, c.release("serve", "reports 1", both()...), "reports 1, which web starts")
	database := c.push(databaseImage, c.release("serve", "database 1", both()...), "database 1, whose volume does not exist")
	c.application("web", webImage+"@"+web, workloads.Env("api", "REPORTS_DIGEST", reports))
	c.application("database", databaseImage+"@"+database, workloads.Pod(func(template *corev1.PodTemplateSpec) {
		template.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"},
		}}}
	}))
	c.install(stuckTargets + byHand)
	require.Equal(c, "adopted", c.tick(0).outcome("database", "database").Outcome)

	c.push(databaseImage, c.release("serve", "database 2", both()...), "database 2")
	for range 2 {
		t := c.tick(0)
		for target, workload := range map[string]string{"web": "web", "reports": "web", "database": "database"} {
			require.Equal(c, "waiting", t.outcome(target, workload).Outcome, target)
		}
	}
	require.Equal(c, 1, workloads.Revision(c.deployment("database")), "no rollout makes a stuck pod start anew (I10)")

	c.Say("The third tick in a row is enough (I11). A digest that was never tried may be the cure: it is tried, once.")
	t := c.tick(1)
	frozen := t.outcome("web", "web")
	require.Equal(c, "not-settled", frozen.Cause)
	assert.Contains(c, frozen.Message, "reports")
	assert.Contains(c, frozen.Message, "web")
	require.Contains(c, c.events("web"), "RefreshFrozen")
	require.Equal(c, 1, workloads.Revision(c.deployment("web")))
	tried := workloads.Revision(c.deployment("database"))
	require.LessOrEqual(c, tried, 3, "tried once, and taken back")
	c.tick(1)
	require.Equal(c, tried, workloads.Revision(c.deployment("database")), "and never again")

	second := c.push(webImage, c.release("serve", "web 2", both()...), "web 2, which becomes ready")
	require.Equal(c, "refreshed", c.tick(1).outcome("web", "web").Outcome)
	c.holds("web", webImage+"@"+second, 2, "web 2")
	require.NotContains(c, c.deployment("web").Annotations, skipStreak)

	c.Say("Somebody makes the database's volume, and a new image of it is published.")
	c.volume("data")
	c.settled("database")
	third := c.push(databaseImage, c.release("serve", "database 3", both()...), "database 3")
	require.Equal(c, "refreshed", c.tick(0).outcome("database", "database").Outcome)
	c.holds("database", databaseImage+"@"+third, tried+1, "database 3")
	require.NotContains(c, c.deployment("database").Annotations, skipStreak)
}

// volume makes a volume and a claim to it.
func (c *chapter) volume(name string) {
	size := corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Mi")}
	modes, class := []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, ""
	_, err := c.client.CoreV1().PersistentVolumes().Create(c.ctx, &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: size, AccessModes: modes,
			PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/var/lib"}},
		},
	}, metav1.CreateOptions{})
	require.NoError(c, err)
	_, err = c.client.CoreV1().PersistentVolumeClaims(c.namespace).Create(c.ctx, &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: modes, StorageClassName: &class, Resources: corev1.VolumeResourceRequirements{Requests: size},
		},
	}, metav1.CreateOptions{})
	require.NoError(c, err)
}
