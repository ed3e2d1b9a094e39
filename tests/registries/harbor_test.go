package registries_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/registries"
)

// What a real Harbor was measured to answer, which the scenarios about it stand on.
func TestHarborAnswersAsMeasured(t *testing.T) {
	const host, secret = "harbor.example.com", "the robot's secret"
	site, err := registries.Start(t.Context(), t.TempDir())
	require.NoError(t, err)
	through, err := site.Transport()
	require.NoError(t, err)
	t.Cleanup(func() { through.CloseIdleConnections(); assert.NoError(t, site.Stop()) })
	h := registries.NewHarbor(registries.NewStore(t.Context()), host)
	site.Add(host, h.Store, h, host)
	for project, public := range map[string]bool{"private": false, "public": true, "other": false} {
		h.AddProject(project, public)
		_, err := site.Push(host+"/"+project+"/app:1", registries.Index(project, "linux/amd64"))
		require.NoError(t, err)
	}

	// ask asks as somebody, or with a token where user is empty, and returns a summary and the body.
	ask := func(path, user, secret string) (answer, body string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host+path, nil)
		require.NoError(t, err)
		request.Header.Set("Accept", "application/vnd.oci.image.index.v1+json")
		if user != "" {
			request.SetBasicAuth(user, secret)
		} else if secret != "" {
			request.Header.Set("Authorization", "Bearer "+secret)
		}
		response, err := through.RoundTrip(request)
		require.NoError(t, err)
		defer func() { require.NoError(t, response.Body.Close()) }()
		text, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		challenge, _, _ := strings.Cut(response.Header.Get("Www-Authenticate"), ",")
		return strings.TrimSpace(strconv.Itoa(response.StatusCode) + " " + challenge), string(text)
	}
	const asked, better = `401 Bearer realm="https://harbor.example.com/service/token"`, `401 Basic realm="harbor"`

	robot := func(project, name string, state registries.Robot) string {
		user := h.AddRobot(project, name, secret)
		h.SetRobot(user, state)
		return user
	}
	valid := robot("private", "puller", registries.RobotValid)
	for name, row := range map[string]struct {
		user, secret                string
		ping, proof, private, other string
	}{
		"anonymous":       {"", "", asked, "401", better, better},
		"valid":           {valid, secret, "200", "200", "200", better},
		"wrong secret":    {valid, "wrong", better, "401", better, better},
		"another's robot": {robot("other", "puller", registries.RobotValid), secret, "200", "200", better, "200"},
		"unknown":         {"robot$private+nobody", "wrong", better, "401", better, better},
		"disabled":        {robot("private", "disabled", registries.RobotDisabled), secret, better, "401", better, better},
		"expired":         {robot("private", "expired", registries.RobotExpired), secret, better, "401", better, better},
		"deleted":         {robot("private", "deleted", registries.RobotDeleted), secret, better, "401", better, better},
	} {
		ping, _ := ask("/v2/", row.user, row.secret)
		assert.Equal(t, row.ping, ping, name)
		proof, _ := ask("/service/token?service=harbor-registry", row.user, row.secret)
		assert.Equal(t, row.proof, proof, name)
		for project, want := range map[string]string{"private": row.private, "public": "200", "other": row.other} {
			status, body := ask("/service/token?scope=repository:"+project+"/app:pull", row.user, row.secret)
			assert.Equal(t, "200", status, "everybody gets a token, were it one that grants nothing")
			var answer map[string]any
			require.NoError(t, json.Unmarshal([]byte(body), &answer))
			assert.Empty(t, answer["access_token"])
			pull, _ := ask("/v2/"+project+"/app/manifests/1", "", answer["token"].(string))
			assert.Equal(t, want, pull, "%s of %s", project, name)
		}
	}

	says := func(path, status, message string) {
		t.Helper()
		answer, body := ask(path, valid, secret)
		assert.Equal(t, status, answer, path)
		assert.Contains(t, body, message, path)
	}
	says("/v2/private/app/manifests/2", "404", "artifact private/app:2 not found")
	says("/v2/private/absent/manifests/1", "404", "NOT_FOUND")
	says("/v2/absent/app/manifests/1", "401", "project absent not found")
	says("/v2/other/app/manifests/1", better, "unauthorized to access repository")
	h.SetUpstream("private", false)
	says("/v2/private/app/manifests/1", "404", "NOT_FOUND")
	h.SetUpstream("private", true)
	h.SetDatabase(false)
	says("/v2/private/app/manifests/1", "401", "unauthorized to access repository")
	says("/service/token?service=harbor-registry", "401", "unauthorized")
	h.SetDatabase(true)

	// A token for each repository of a long list is more than its nginx takes.
	scopes := url.Values{}
	for i := range 100 {
		scopes.Add("scope", "repository:private/application-"+strconv.Itoa(i)+":pull")
	}
	_, body := ask("/service/token?"+scopes.Encode(), valid, secret)
	var answer map[string]any
	require.NoError(t, json.Unmarshal([]byte(body), &answer))
	status, body := ask("/v2/private/app/manifests/1", "", answer["token"].(string))
	assert.Equal(t, "400", status)
	assert.Contains(t, body, "<html>")
}
