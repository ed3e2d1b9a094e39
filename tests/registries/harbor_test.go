package registries_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/registries"
)

const (
	harborHost  = "harbor.example.com"
	harborToken = "https://harbor.example.com/service/token?service=harbor-registry"
	indexType   = "application/vnd.oci.image.index.v1+json"
)

// harbor puts one up with a private, a public and another private project, and
// a robot of the first.
func harbor(t *testing.T, site *registries.Site) (h *registries.Harbor, robot string) {
	t.Helper()
	h = registries.NewHarbor(registries.NewStore(t.Context()), harborHost)
	site.Add(harborHost, h.Store, h, harborHost)
	for project, public := range map[string]bool{"private": false, "public": true, "other": false} {
		h.AddProject(project, public)
		_, err := site.Push(harborHost+"/"+project+"/app:1", registries.Index(project, "linux/amd64"))
		require.NoError(t, err)
	}
	return h, h.AddRobot("private", "puller", "the robot's secret")
}

// reply is an answer that has been read.
type reply struct {
	status int
	header http.Header
	body   map[string]any // of JSON
}

// ask sends one request with an Authorization header, and follows nothing.
func ask(t *testing.T, through http.RoundTripper, method, address, authorization string) reply {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	require.NoError(t, err)
	request.Header.Set("Accept", indexType)
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	response, err := through.RoundTrip(request)
	require.NoError(t, err)
	defer func() { require.NoError(t, response.Body.Close()) }()
	read := reply{status: response.StatusCode, header: response.Header}
	if strings.Contains(response.Header.Get("Content-Type"), "json") && method != http.MethodHead {
		require.NoError(t, json.NewDecoder(response.Body).Decode(&read.body))
	}
	return read
}

func basic(user, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+secret))
}

// claims are those of a token answer's JWT.
func claims(t *testing.T, body map[string]any) (subject any, actions []any) {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(body["token"].(string), ".")[1])
	require.NoError(t, err)
	var read struct {
		Subject any                       `json:"sub"`
		Access  []struct{ Actions []any } `json:"access"`
	}
	require.NoError(t, json.Unmarshal(payload, &read))
	require.Len(t, read.Access, 1)
	return read.Subject, read.Access[0].Actions
}

// What was measured, account by account, column by column.
func TestHarborAnswersAsMeasured(t *testing.T) {
	site, through := start(t)
	h, robot := harbor(t, site)
	foreign := h.AddRobot("other", "puller", "another secret")
	states := map[string]registries.Robot{
		"disabled": registries.RobotDisabled, "expired": registries.RobotExpired, "deleted": registries.RobotDeleted,
	}
	rows := map[string]struct {
		authorization string
		proof         int
		subject       any
		actions       []any
		private       int
	}{
		"anonymous":       {"", 401, nil, []any{}, 401},
		"valid":           {basic(robot, "the robot's secret"), 200, robot, []any{"pull"}, 200},
		"wrong secret":    {basic(robot, "wrong"), 401, nil, []any{}, 401},
		"another's robot": {basic(foreign, "another secret"), 200, foreign, []any{}, 401},
		"unknown":         {basic("robot$private+nobody", "wrong"), 401, nil, []any{}, 401},
	}
	for name, state := range states {
		user := h.AddRobot("private", name, "its secret")
		h.SetRobot(user, state)
		row := rows["wrong secret"]
		row.authorization = basic(user, "its secret")
		rows[name] = row
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			ping := ask(t, through, http.MethodGet, "https://"+harborHost+"/v2/", row.authorization)
			assert.Equal(t, row.proof, ping.status)
			proof := ask(t, through, http.MethodGet, harborToken, row.authorization)
			assert.Equal(t, row.proof, proof.status)
			for project, status := range map[string]int{"private": row.private, "public": 200} {
				answer := ask(t, through, http.MethodGet, harborToken+"&scope=repository:"+project+"/app:pull", row.authorization)
				assert.Equal(t, 200, answer.status)
				assert.Empty(t, answer.body["access_token"])
				if project == "private" {
					subject, actions := claims(t, answer.body)
					assert.Equal(t, row.subject, subject)
					assert.Equal(t, row.actions, actions)
				}
				head := ask(t, through, http.MethodHead, "https://"+harborHost+"/v2/"+project+"/app/manifests/1", "Bearer "+answer.body["token"].(string))
				assert.Equal(t, status, head.status)
				if status == 200 {
					assert.NotEmpty(t, head.header.Get("Docker-Content-Digest"))
				} else {
					assert.Equal(t, `Basic realm="harbor"`, head.header.Get("Www-Authenticate"))
				}
			}
		})
	}
}

// What stands below the table.
func TestHarborsOtherAnswers(t *testing.T) {
	site, through := start(t)
	h, robot := harbor(t, site)
	login := basic(robot, "the robot's secret")
	manifest := func(name string) (int, []string, string) {
		answer := ask(t, through, http.MethodGet, "https://"+harborHost+"/v2/"+name, login)
		failure := answer.body["errors"].([]any)[0].(map[string]any)
		return answer.status, answer.header.Values("Www-Authenticate"), fmt.Sprint(failure["code"], ": ", failure["message"])
	}
	for name, want := range map[string]struct {
		status int
		says   string
	}{
		"private/app/manifests/2":    {404, "NOT_FOUND: artifact private/app:2"},
		"private/absent/manifests/1": {404, "NOT_FOUND: "},
		"absent/app/manifests/1":     {401, "UNAUTHORIZED: project absent not found"},
		"other/app/manifests/1":      {401, "UNAUTHORIZED: unauthorized to access repository"},
	} {
		status, _, says := manifest(name)
		assert.Equal(t, want.status, status, name)
		assert.Contains(t, says, want.says)
	}
	_, empty, _ := manifest("absent/app/manifests/1")
	assert.Equal(t, []string{""}, empty)

	h.SetUpstream("private", false)
	status, _, says := manifest("private/app/manifests/1")
	assert.Equal(t, 404, status)
	assert.Contains(t, says, "NOT_FOUND")
	h.SetUpstream("private", true)

	h.SetDatabase(false)
	status, challenge, _ := manifest("private/app/manifests/1")
	assert.Equal(t, 401, status)
	assert.Equal(t, []string{""}, challenge)
	proof := ask(t, through, http.MethodGet, harborToken, login)
	assert.Equal(t, 401, proof.status)
	h.SetDatabase(true)

	// A token for each repository of a long list is more than its nginx takes.
	scopes := url.Values{}
	for i := range 100 {
		scopes.Add("scope", fmt.Sprintf("repository:private/application-%d:pull", i))
	}
	token := ask(t, through, http.MethodGet, harborToken+"&"+scopes.Encode(), login)
	answer := ask(t, through, http.MethodHead, "https://"+harborHost+"/v2/private/app/manifests/1", "Bearer "+token.body["token"].(string))
	assert.Equal(t, 400, answer.status)
	assert.Equal(t, "text/html", answer.header.Get("Content-Type"))
}
