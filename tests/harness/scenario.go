package harness

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/cluster"
	"github.com/tracebloc/image-refresh/tests/fakenode"
	"github.com/tracebloc/image-refresh/tests/registries"
)

const account = "image-refresh"

// Scenario is what one test has for itself: a namespace, registries, an API proxy and a service account, so that tests may run
// side by side and each counts its own requests.
type Scenario struct {
	*Environment
	// Namespace is where the workloads are.
	Namespace string
	// Site is the registries and the proxy that leads to them.
	Site *registries.Site
	// API stands between the program and the API server. What the test itself does to the cluster does not pass it.
	API *apiproxy.Proxy
	// Client is the administrator's.
	Client kubernetes.Interface
	// Dir is a temporary folder; ConfigFile and Kubeconfig are in it, and Home, which is all that the program has to write to.
	Dir, Home, ConfigFile, Kubeconfig string

	t       testing.TB
	objects dynamic.Interface
	env     map[string]string
	secrets []string

	withoutPlan bool
	granted     []string // further namespaces
}

// Rules is what the program may do in its namespace unless a test says otherwise: all that any tick needs there, for any name.
func Rules() []rbacv1.PolicyRule {
	rule := func(group string, resources, verbs string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: strings.Fields(resources), Verbs: strings.Fields(verbs)}
	}
	return []rbacv1.PolicyRule{
		rule("apps", "deployments statefulsets daemonsets", "get list watch patch"),
		rule("apps", "replicasets controllerrevisions", "get list watch"),
		rule("batch", "cronjobs", "get list watch patch"),
		rule("", "pods serviceaccounts", "get list watch"),
		rule("events.k8s.io", "events", "create patch"),
	}
}

// Scenario makes what one test has for itself and takes it down with the test. The program has these rights in the namespace,
// and Rules where there are none.
func (e *Environment) Scenario(t testing.TB, rules ...rbacv1.PolicyRule) *Scenario {
	t.Helper()
	if len(rules) == 0 {
		rules = Rules()
	}
	dir := t.TempDir()
	s := &Scenario{
		Environment: e, t: t, Client: e.Cluster.Client(), Dir: dir, env: map[string]string{},
		Home: filepath.Join(dir, "home"), ConfigFile: filepath.Join(dir, "config.yaml"), Kubeconfig: filepath.Join(dir, "kubeconfig"),
	}
	err := os.Mkdir(s.Home, 0o700)
	require.NoError(t, err)
	s.objects, err = dynamic.NewForConfig(e.Cluster.Config())
	require.NoError(t, err)
	s.Namespace, err = e.Cluster.Namespace(t.Context(), "scenario")
	require.NoError(t, err)
	s.Site, err = registries.Start(t.Context(), dir)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Site.Stop()) })
	s.API, err = apiproxy.Start(t.Context(), e.Cluster.Server(), e.Cluster.Authority())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.API.Stop()) })
	s.API.HoldReads(s.holdUntilSteady)
	token, err := e.Cluster.ServiceAccount(t.Context(), s.Namespace, account, rules...)
	require.NoError(t, err)
	access := cluster.Access{Server: s.API.URL(), Token: token, Namespace: s.Namespace}
	require.NoError(t, e.Cluster.WriteKubeconfig(s.Kubeconfig, access))
	for _, variable := range s.Site.Environ() {
		key, value, _ := strings.Cut(variable, "=")
		s.env[key] = value
	}
	s.env["KUBECONFIG"], s.env["CONFIG_FILE"], s.env["TMPDIR"] = s.Kubeconfig, s.ConfigFile, s.Home
	if e.Race {
		// 66 is no exit code of the program's. By default the detector makes each process sleep for a second before it ends.
		s.env["GORACE"] = "halt_on_error=1 exitcode=66 atexit_sleep_ms=0"
	}
	s.Secret(token)
	t.Cleanup(s.report)
	return s
}

// report looks for secrets, and shows what there is to see where the test has failed.
func (s *Scenario) report() {
	for _, leak := range s.leaks() {
		s.t.Errorf("%s", leak)
	}
	if !s.t.Failed() {
		return
	}
	for _, run := range s.runs(s.t.Name()) {
		s.t.Logf("image-refresh %s: exit code %d after %s\n--- stdout\n%s--- stderr\n%s",
			strings.Join(run.args, " "), run.ExitCode, run.Duration, run.Stdout, run.Stderr)
	}
	s.t.Log(s.Cluster.Logs(5))
}

// Configure writes the configuration file.
func (s *Scenario) Configure(yaml string) {
	s.t.Helper()
	require.NoError(s.t, os.WriteFile(s.ConfigFile, []byte(yaml), 0o600))
}

// Setenv sets a variable of the program's environment, for later runs.
func (s *Scenario) Setenv(key, value string) { s.env[key] = value }

// Unsetenv takes variables away: HTTPS_PROXY, where there is to be no proxy.
func (s *Scenario) Unsetenv(keys ...string) {
	for _, key := range keys {
		delete(s.env, key)
	}
}

// Behave chooses what becomes of the pods in the namespace.
func (s *Scenario) Behave(policy fakenode.Policy) { s.Kubelet.Set(s.Namespace, policy) }

// Push stores content in a registry and returns its digest.
func (s *Scenario) Push(reference string, content registries.Content) (digest string) {
	s.t.Helper()
	digest, err := s.Site.Push(reference, content)
	require.NoError(s.t, err)
	return digest
}

// Forget drops every recorded request, so that a test counts from here.
func (s *Scenario) Forget() {
	s.API.Forget()
	s.Site.Front.Forget()
	s.Site.Proxy.Forget()
}

// Grant replaces what the program may do in a namespace.
func (s *Scenario) Grant(namespace string, rules ...rbacv1.PolicyRule) {
	s.t.Helper()
	require.NoError(s.t, s.Cluster.Grant(s.t.Context(), namespace, s.Namespace, account, rules...))
	s.granted = append(s.granted, namespace)
}
