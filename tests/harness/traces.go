package harness

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
)

// trace is something that the program left behind.
type trace struct{ where, text string }

// Secret names values that the program must never print nor write: in the end
// they are looked for in all that this scenario's runs left behind. Accounts
// and tokens of the Site, the service account's token and what was sent to any
// registry or proxy are looked for without being named.
func (s *Scenario) Secret(values ...string) {
	s.t.Helper()
	for _, value := range values {
		assert.GreaterOrEqual(s.t, len(value), start, "too short to be looked for")
	}
	s.secrets = append(s.secrets, values...)
}

// leaks says where secrets were found: in what runs printed, in requests to
// the API server, in objects and Events, in files.
func (s *Scenario) leaks() []string {
	secrets := append(s.Site.Secrets(), s.secrets...)
	s.keepSecrets(secrets)
	find := newFinder(secrets)
	var leaks []string
	for _, trace := range slices.Concat(s.printed(), s.requested(), s.stored(), s.written()) {
		if find.in(trace.text) {
			leaks = append(leaks, trace.where+" holds a secret")
		}
	}
	return leaks
}

func (s *Scenario) printed() []trace {
	var traces []trace
	for _, run := range s.runs() {
		args := "image-refresh " + strings.Join(run.Args, " ")
		traces = append(traces, trace{"standard output of " + args, run.Stdout}, trace{"standard error of " + args, run.Stderr})
	}
	return traces
}

// requested is what went to the API server since the last Forget.
func (s *Scenario) requested() []trace {
	var traces []trace
	for _, request := range s.API.Requests(apiproxy.Request.IsWrite) {
		traces = append(traces, trace{request.Method + " " + request.Path, string(request.Body)})
	}
	return traces
}

// kinds are those that the program writes, those that copy its annotations, and
// Events.
var kinds = []schema.GroupVersionResource{
	{Group: "apps", Version: "v1", Resource: "deployments"},
	{Group: "apps", Version: "v1", Resource: "statefulsets"},
	{Group: "apps", Version: "v1", Resource: "daemonsets"},
	{Group: "apps", Version: "v1", Resource: "replicasets"},
	{Group: "apps", Version: "v1", Resource: "controllerrevisions"},
	{Group: "batch", Version: "v1", Resource: "cronjobs"},
	{Group: "events.k8s.io", Version: "v1", Resource: "events"},
}

// stored is every such object in the namespaces of the scenario, as a whole:
// labels, annotations, managedFields.
func (s *Scenario) stored() []trace {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.t.Context()), time.Minute) // the test's own has ended by now
	defer cancel()
	var traces []trace
	for _, namespace := range append([]string{s.Namespace}, s.granted...) {
		for _, kind := range kinds {
			list, err := s.objects.Resource(kind).Namespace(namespace).List(ctx, metav1.ListOptions{})
			require.NoError(s.t, err)
			for _, object := range list.Items {
				text, err := json.Marshal(object.Object)
				require.NoError(s.t, err)
				traces = append(traces, trace{kind.Resource + "/" + object.GetName() + " in " + namespace, string(text)})
			}
		}
	}
	return traces
}

// written is every file that the program left in its folder.
func (s *Scenario) written() []trace {
	var traces []trace
	err := filepath.WalkDir(s.Home, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path) //nolint:gosec // a file of the test's own folder
		traces = append(traces, trace{path, string(content)})
		return err
	})
	require.NoError(s.t, err)
	return traces
}
