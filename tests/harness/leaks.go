package harness

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
)

const (
	// shortest is how many bytes a secret has at least; shorter ones could not be told from any other text.
	shortest = 8
	// long is from how many bytes on a secret is looked for by its ends too, because what is printed of foreign text is cut.
	long = 64
)

// credentials is what looks like one, whoever's it is: the value of an Authorization header, a signed token, a password in a URL.
var credentials = regexp.MustCompile(
	`(?i:\b(?:basic|bearer) +[a-z0-9+/=._~-]{16,})|\beyJ[A-Za-z0-9_-]{8,}\.|[a-z]://[^/\s"@]+:[^/\s"@]+@`)

// holdsAny returns a function that tells whether a text holds any of the secrets.
func holdsAny(secrets []string) func(text string) bool {
	var pairs []string
	for _, secret := range secrets {
		for _, form := range forms(secret) {
			if len(form) >= shortest {
				pairs = append(pairs, form, "")
			}
		}
	}
	without := strings.NewReplacer(pairs...) // reads a text once, however many secrets there are
	return func(text string) bool { return without.Replace(text) != text }
}

// forms are the ways in which a secret could stand in a text.
func forms(secret string) []string {
	quoted, err := json.Marshal(secret)
	if err != nil {
		panic(err) // a string encodes
	}
	all := []string{secret, url.QueryEscape(secret), url.PathEscape(secret), strings.Trim(string(quoted), `"`)}
	if len(secret) <= long {
		return append(all, strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(secret)), "="))
	}
	return append(all, secret[:long/2], secret[len(secret)-long/2:])
}

// Secret names values that the program must never print nor write: in the end they are looked for in all that this scenario's
// runs left behind. Accounts and tokens of the Site, the service account's token and what was sent to any registry or proxy
// are looked for without being named.
func (s *Scenario) Secret(values ...string) {
	s.t.Helper()
	for _, value := range values {
		assert.GreaterOrEqual(s.t, len(value), shortest, "too short to be looked for")
	}
	s.secrets = append(s.secrets, values...)
}

// written are the kinds that the program writes, those that copy its annotations, and Events.
var written = []string{
	"deployments.v1.apps", "statefulsets.v1.apps", "daemonsets.v1.apps", "replicasets.v1.apps", "controllerrevisions.v1.apps",
	"cronjobs.v1.batch", "events.v1.events.k8s.io",
}

// leaks says where secrets were found: in what runs printed, in requests to the API server since the last Forget, in objects
// and Events (labels, annotations and managedFields included), in files of the program's folder.
func (s *Scenario) leaks() (leaks []string) {
	secrets := append(s.Site.Secrets(), s.secrets...)
	s.mu.Lock()
	s.Environment.secrets = append(s.Environment.secrets, secrets...) // other scenarios may print them, too
	s.mu.Unlock()
	hold := holdsAny(secrets)
	look := func(text, where string, args ...any) {
		if hold(text) {
			leaks = append(leaks, fmt.Sprintf(where, args...)+" holds a secret")
		}
	}
	for _, run := range s.runs(s.t.Name()) {
		look(run.Stdout, "standard output of image-refresh %s", strings.Join(run.args, " "))
		look(run.Stderr, "standard error of image-refresh %s", strings.Join(run.args, " "))
	}
	for _, request := range s.API.Requests(apiproxy.Request.IsWrite) {
		look(string(request.Body), "%s %s", request.Method, request.Path)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.t.Context()), time.Minute) // the test's own has ended by now
	defer cancel()
	for _, namespace := range append([]string{s.Namespace}, s.granted...) {
		for _, kind := range written {
			resource, _ := schema.ParseResourceArg(kind)
			list, err := s.objects.Resource(*resource).Namespace(namespace).List(ctx, metav1.ListOptions{})
			require.NoError(s.t, err)
			for _, object := range list.Items {
				text, err := object.MarshalJSON()
				require.NoError(s.t, err)
				look(string(text), "%s/%s in %s", resource.Resource, object.GetName(), namespace)
			}
		}
	}
	require.NoError(s.t, filepath.WalkDir(s.Home, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path) //nolint:gosec // a file of the test's own folder
		look(string(content), "%s", path)
		return err
	}))
	return leaks
}
