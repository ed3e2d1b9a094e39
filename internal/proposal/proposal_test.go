package proposal_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/internal/proposal"
	"github.com/tracebloc/image-refresh/internal/workload"
)

const digest = "sha256:4fe8c845ed77f7fc578becc0ed8d78466293219aae2fa3632269bf48451f98ec"

// deployment is a Deployment in the namespace shop with one container an image, named a, b and so on.
func deployment(name string, images ...string) *appsv1.Deployment {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
	for i, image := range images {
		d.Spec.Template.Spec.Containers = append(d.Spec.Template.Spec.Containers, corev1.Container{Name: string(rune('a' + i)), Image: image})
	}
	return d
}

func written(t *testing.T, objects ...any) string {
	t.Helper()
	var workloads []proposal.Workload
	for _, object := range objects {
		read, err := workload.New(object)
		require.NoError(t, err)
		workloads = append(workloads, proposal.Workload{Object: read, Secrets: read.Secrets()})
	}
	var out strings.Builder
	require.NoError(t, proposal.Write(&out, workloads, "tracebloc.io"))
	_, text, _ := strings.Cut(out.String(), "\n") // the title
	return text
}

func TestATargetForEachTagThatFloats(t *testing.T) {
	t.Parallel()
	web := deployment("web", "nginx:1.27", "ghcr.io/team/app:prod")
	web.Spec.Template.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "pull"}}
	web.Spec.Template.Spec.InitContainers = []corev1.Container{{Name: "prepare", Image: "busybox"}}
	nightly := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "nightly"}}
	nightly.Spec.JobTemplate.Spec.Template.Spec.Containers = []corev1.Container{{Name: "1", Image: "docker.io/library/nginx:1.27"}}
	want := `targets:
  - name: busybox
    image: busybox:latest # may be another major version tomorrow: name a tag of a release line, as in :1.2
    pullSecrets: [pull]
    workloads:
      - {kind: Deployment, namespace: shop, name: web, container: prepare}
  - name: nginx
    image: docker.io/library/nginx:1.27
    workloads:
      - {kind: CronJob, namespace: shop, name: nightly, container: "1"}
      - {kind: Deployment, namespace: shop, name: web, container: a}
  - name: app
    image: ghcr.io/team/app:prod
    pullSecrets: [pull]
    workloads:
      - {kind: Deployment, namespace: shop, name: web, container: b}

# Pull secrets that these pods use, as NAMESPACE/NAME, for the chart's value pullSecrets:
# shop/pull
`
	assert.Equal(t, want, written(t, web, nightly))
	assert.Equal(t, want, written(t, nightly, web), "the order is that of names")
	assert.Equal(t, "targets: []\n", written(t))
}

func TestNamesAreUniqueAndShort(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		images []string
		want   []string
	}{
		"two tags":         {[]string{"nginx:1.26", "nginx:1.27"}, []string{"nginx-1-26", "nginx-1-27"}},
		"two repositories": {[]string{"ghcr.io/a/app:1", "ghcr.io/b/app:1"}, []string{"a-app", "b-app"}},
		"two registries":   {[]string{"ghcr.io/a/app:1", "quay.io/a/app:1"}, []string{"app-97ebf36f", "app-ecb62dc2"}},
		"long":             {[]string{"ghcr.io/a/a-very-long-name-of-an-image-indeed:1"}, []string{"a-very-long-name-of-an-image-ind"}},
		"no label":         {[]string{"ghcr.io/a/my_app.web:1"}, []string{"my-app-web"}},
	} {
		var names []string
		for line := range strings.Lines(written(t, deployment("web", c.images...))) {
			if found, is := strings.CutPrefix(strings.TrimSpace(line), "- name: "); is {
				names = append(names, found)
				assert.LessOrEqual(t, len(found), 32)
			}
		}
		assert.Equal(t, c.want, names, name)
	}
}

func TestWhatIsLeftOutIsSaid(t *testing.T) {
	t.Parallel()
	ours := deployment("ours", "nginx:1.27@"+digest)
	ours.Labels = map[string]string{"tracebloc.io/nginx-digest": digest[7:47] + ".0123abcd"}
	assert.Contains(t, written(t, ours), "image: nginx:1.27\n", "a digest that we have put there")

	never, owned, self, env := deployment("web", "nginx:1"), deployment("web", "nginx:1"), deployment("web", "nginx:1"), deployment("web", "nginx@"+digest)
	never.Spec.Template.Spec.Containers[0].ImagePullPolicy = corev1.PullNever
	owned.OwnerReferences = []metav1.OwnerReference{{Kind: "Database", Name: "main", APIVersion: "example.com/v1", Controller: new(true)}}
	self.Labels, self.Spec.Template.Spec.Containers[0].Name = map[string]string{"app.kubernetes.io/component": "image-refresh"}, "image-refresh"
	env.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "MODEL_DIGEST", Value: digest}, {Name: "SIDE", Value: "ghcr.io/a/side@" + digest}, {Name: "OTHER", Value: "x"}}
	for says, d := range map[string]*appsv1.Deployment{
		"# Deployment shop/web, container a: nginx:1.27@" + digest + " is pinned by its owner\n":         deployment("web", "nginx:1.27@"+digest),
		"nginx@" + digest + " is pinned by a digest alone":                                               deployment("web", "nginx@"+digest),
		"Nginx:x is no image reference":                                                                  deployment("web", "Nginx:x"),
		"has imagePullPolicy Never":                                                                      never,
		"is rendered by Database main (example.com/v1)":                                                  owned,
		"is this program itself":                                                                         self,
		"#   - name: model-digest\n#     image: REPOSITORY:TAG\n":                                        env,
		"#     image: ghcr.io/a/side:TAG\n":                                                              env,
		"{kind: Deployment, namespace: shop, name: web, container: a, env: SIDE, envValue: reference}\n": env,
	} {
		text := written(t, d)
		assert.True(t, strings.HasPrefix(text, "targets: []\n"), text)
		assert.Contains(t, text, says)
	}
}
