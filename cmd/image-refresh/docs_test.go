package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sethvargo/go-envconfig"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// documents are the texts for people, by their path from the repository's root.
func documents(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "chart/*.md", ".github/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, files, pattern)
		for _, file := range files {
			name, err := filepath.Rel(root, file)
			require.NoError(t, err)
			all[filepath.ToSlash(name)] = read(t, file)
		}
	}
	return all
}

var (
	fenced  = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	inline  = regexp.MustCompile("`([^`\n]+)`")
	linked  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
	anchor  = regexp.MustCompile(`<a (?:id|name)="([^"]+)">`)
)

// prose is a document without its code blocks.
func prose(text string) string { return fenced.ReplaceAllString(text, "") }

// anchors are what a link into a document may name, as GitHub makes them from headings.
func anchors(text string) []string {
	text = prose(text)
	var all []string
	for _, match := range anchor.FindAllStringSubmatch(text, -1) {
		all = append(all, match[1])
	}
	for _, match := range heading.FindAllStringSubmatch(text, -1) {
		title := linked.ReplaceAllString(match[1], "]")
		slug := regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ToLower(title), "")
		slug = strings.ReplaceAll(strings.TrimSpace(slug), " ", "-")
		for n, first := 1, slug; slices.Contains(all, slug); n++ {
			slug = fmt.Sprintf("%s-%d", first, n)
		}
		all = append(all, slug)
	}
	return all
}

func TestAnchorsAreGitHubs(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []string{"here", "a-b-c", "whats-new-110", "see-it-x_y", "a-b-c-1"},
		anchors("# A `b` c\n<a id=\"here\"></a>\n```sh\n# no heading\n```\n## What's new? (1.1.0)\n### See [it](x.md): x_y\n# A b c\n"))
}

// blob begins links to files of this repository that must work outside of it.
const blob = "https://github.com/tracebloc/image-refresh/blob/main/"

func TestEveryLinkInTheDocumentsResolves(t *testing.T) {
	t.Parallel()
	checked := 0
	for name, text := range documents(t) {
		for _, match := range linked.FindAllStringSubmatch(prose(text), -1) {
			link := match[1]
			base := filepath.Dir(name)
			if own, is := strings.CutPrefix(link, blob); is {
				link, base = own, "."
			}
			if strings.Contains(link, "://") {
				continue
			}
			checked++
			file, fragment, _ := strings.Cut(link, "#")
			path := filepath.Join(root, base, file)
			if file == "" {
				path = filepath.Join(root, name)
			}
			if !assert.FileExists(t, path, "%s links to %s", name, link) || fragment == "" {
				continue
			}
			assert.Contains(t, anchors(read(t, path)), fragment, "%s links to %s", name, link)
		}
	}
	assert.Greater(t, checked, 15)
}

// Whatever looks like a cause, an outcome, a variable or a key of ours in the documents is one.
func TestTheDocumentsNameOnlyWhatThereIs(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"image-refresh": true, "stg-regcred": true, "jobs-manager": true}
	for _, cause := range failure.Causes() {
		known[string(cause)] = true
	}
	for _, outcome := range outcomes() {
		known[string(outcome)] = true
	}
	variables := []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "DOCKER_CONFIG", "NO_COLOR", "KUBERNETES_SERVICE_HOST", "INGESTOR_IMAGE_DIGEST", "DOCKERHUB_USERNAME", "DOCKERHUB_TOKEN"}
	for _, variable := range config.Variables() {
		variables = append(variables, variable.Name)
	}
	keys := annotate.NewKeys("tracebloc.io")
	suffixes := []string{
		keys.Hold(), keys.Approve(), keys.Skip(), keys.SkipStreak(), keys.Mark("T"), keys.Recorded("T"), keys.Build("T"), keys.Failures("T"), keys.LastError("T"), keys.State("T"),
		keys.FailingSince("T"), keys.Condition(),
	}
	kebab := regexp.MustCompile(`^[a-z]+(-[a-z]+)+$`)
	variable := regexp.MustCompile(`^[A-Z]+(_[A-Z]+)+$`)
	ofClouds := regexp.MustCompile(`^(AWS|AZURE|GCE|GOOGLE)_`) // which their libraries read
	for name, text := range documents(t) {
		if strings.HasPrefix(name, "chart/") {
			continue // generated from the chart, whose own words these are
		}
		for _, match := range inline.FindAllStringSubmatch(prose(text), -1) {
			switch word := match[1]; {
			case kebab.MatchString(word):
				assert.True(t, known[word], "%s: %s is no cause and no outcome", name, word)
			case ofClouds.MatchString(word):
			case variable.MatchString(word):
				assert.Contains(t, variables, word, name)
			case strings.HasPrefix(word, "tracebloc.io/"):
				generic := regexp.MustCompile(`ingestor|jobs-manager|…`).ReplaceAllString(word, "T")
				assert.Contains(t, suffixes, strings.ReplaceAll(generic, "T-T", "T"), "%s: %s", name, word)
			}
		}
	}
}

// outcomes are all of them: Loud is the one exhaustive list of the code's own.
func outcomes() []decide.Outcome {
	return []decide.Outcome{
		decide.Unchanged, decide.Adopted, decide.Refreshed, decide.Reapplied, decide.Held, decide.Deferred, decide.Skipped,
		decide.Waiting, decide.Rejected, decide.RolledBack, decide.Failed, decide.Pending,
	}
}

// The schema's closed sets are the code's.
func TestTheSchemaListsEveryCauseAndOutcome(t *testing.T) {
	t.Parallel()
	type enum struct {
		Enum []string `json:"enum"`
	}
	var schema struct {
		Defs struct {
			Workload struct {
				Properties struct{ Outcome, Kind enum } `json:"properties"`
			} `json:"workload"`
			Cause enum `json:"cause"`
		} `json:"$defs"`
	}
	require.NoError(t, json.Unmarshal([]byte(read(t, root+"/docs/schema/result-v1.json")), &schema))
	causes := []string{""}
	for _, cause := range failure.Causes() {
		causes = append(causes, string(cause))
	}
	var all []string
	for _, outcome := range outcomes() {
		all = append(all, string(outcome))
	}
	assert.Equal(t, causes, schema.Defs.Cause.Enum)
	assert.Equal(t, all, schema.Defs.Workload.Properties.Outcome.Enum)
	assert.Equal(t, []string{string(config.Deployment), string(config.StatefulSet), string(config.DaemonSet), string(config.CronJob)},
		schema.Defs.Workload.Properties.Kind.Enum)
}

// Every file that the documents show as a configuration is one.
func TestTheDocumentsConfigurationsAreValid(t *testing.T) {
	t.Parallel()
	block := regexp.MustCompile("(?s)<!-- (?:config|targets).yaml -->\n```yaml\n(.*?)```\n")
	found := 0
	for name, text := range documents(t) {
		for _, match := range block.FindAllStringSubmatch(text, -1) {
			found++
			file := filepath.Join(t.TempDir(), "config.yaml")
			require.NoError(t, os.WriteFile(file, []byte(match[1]), 0o600))
			got, err := config.Read(context.Background(), envconfig.MapLookuper(nil), config.Overrides{File: file})
			require.NoError(t, err, "%s\n%s", name, match[1])
			assert.Empty(t, got.Warnings(), name)
		}
	}
	assert.GreaterOrEqual(t, found, 4)
}

// The table of registries' troubles knows every cause that a registry, or the way to it, can have.
func TestTheRegistriesPageNamesEveryCauseOfARegistry(t *testing.T) {
	t.Parallel()
	page := read(t, root+"/docs/registries.md")
	for _, cause := range failure.Causes() {
		switch cause {
		case failure.WorkloadMissing, failure.SlotInvalid, failure.SlotMismatch, failure.API, failure.RolloutFailed, failure.Contested, failure.NotSettled, failure.PlatformMissing:
		default:
			assert.Contains(t, page, "`"+string(cause)+"`")
		}
	}
}
