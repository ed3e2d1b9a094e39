package release_test

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/tracebloc/image-refresh/tests/components"
)

// root is the repository's.
func root(t *testing.T) string {
	t.Helper()
	tests, err := components.Root()
	require.NoError(t, err)
	return filepath.Dir(tests)
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), filepath.FromSlash(name)))
	require.NoError(t, err)
	return string(text)
}

type workflow struct {
	Permissions map[string]string `json:"permissions"`
	Jobs        map[string]struct {
		Permissions map[string]string `json:"permissions"`
		Timeout     int               `json:"timeout-minutes"`
		Steps       []struct {
			Uses string         `json:"uses"`
			With map[string]any `json:"with"`
			Run  string         `json:"run"`
		} `json:"steps"`
	} `json:"jobs"`
}

func workflows(t *testing.T) map[string]workflow {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root(t), ".github", "workflows", "*"))
	require.NoError(t, err)
	all := map[string]workflow{}
	for _, file := range files {
		require.Equal(t, ".yaml", filepath.Ext(file), "make lint looks at these")
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var one workflow
		require.NoError(t, yaml.Unmarshal(text, &one), file)
		require.NotEmpty(t, one.Jobs, file)
		all[filepath.Base(file)] = one
	}
	require.Len(t, all, 4)
	return all
}

// An action is somebody else's program with our rights: a tag can be moved, a commit cannot.
func TestActionsArePinnedByCommit(t *testing.T) {
	t.Parallel()
	pinned := regexp.MustCompile(`uses: ([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)$`)
	pins := map[string]string{}
	for name := range workflows(t) {
		for line := range strings.Lines(read(t, ".github/workflows/"+name)) {
			line = strings.TrimRight(line, "\n")
			if !strings.Contains(line, "uses:") {
				continue
			}
			match := pinned.FindStringSubmatch(line)
			if !assert.NotNil(t, match, "%s: %s", name, line) {
				continue
			}
			repository := strings.Join(strings.SplitN(match[1], "/", 3)[:2], "/")
			pin := match[2] + " " + match[3]
			if pins[repository] == "" {
				pins[repository] = pin
			}
			assert.Equal(t, pins[repository], pin, "%s: one pin of %s", name, repository)
		}
	}
	assert.Greater(t, len(pins), 10)
}

// A job has the rights that it needs, and nobody else's words reach a shell.
func TestJobsHaveTheLeastRights(t *testing.T) {
	t.Parallel()
	writes := map[string][]string{}
	for name, one := range workflows(t) {
		assert.NotNil(t, one.Permissions, "%s: permissions", name)
		assert.Empty(t, one.Permissions, "%s gives every job rights", name)
		for id, job := range one.Jobs {
			assert.NotEmpty(t, job.Permissions, "%s: %s", name, id)
			assert.Positive(t, job.Timeout, "%s: %s", name, id)
			for scope, right := range job.Permissions {
				if right == "write" {
					writes[name+" "+id] = append(writes[name+" "+id], scope)
				} else {
					assert.Equal(t, "read", right)
				}
			}
			for _, step := range job.Steps {
				assert.NotContains(t, step.Run, "${{", "%s: %s: give it as a variable", name, id)
				if strings.HasPrefix(step.Uses, "actions/checkout@") {
					assert.Equal(t, false, step.With["persist-credentials"], "%s: %s", name, id)
				}
				if name == "release.yaml" && strings.HasPrefix(step.Uses, "actions/setup-go@") {
					assert.Equal(t, false, step.With["cache"], "%s: %s", name, id)
				}
			}
		}
		assert.NotContains(t, read(t, ".github/workflows/"+name), "pull_request_target")
		assert.NotContains(t, read(t, ".github/workflows/"+name), "secrets.")
	}
	for job, want := range map[string][]string{
		"codeql.yaml analyze":   {"security-events"},
		"release.yaml archives": {"id-token", "attestations"},
		"release.yaml image":    {"packages", "id-token", "attestations", "artifact-metadata"},
		"release.yaml chart":    {"packages", "id-token", "attestations", "artifact-metadata"},
		"release.yaml publish":  {"contents"},
	} {
		assert.ElementsMatch(t, want, writes[job], job)
		delete(writes, job)
	}
	assert.Empty(t, writes, "no other job writes anything")
}

// One Go builds all: the workflows', the archives' and the image's.
func TestOneGoBuildsEverything(t *testing.T) {
	t.Parallel()
	version := strings.TrimSpace(read(t, ".go-version"))
	assert.Regexp(t, `^1\.\d+\.\d+$`, version)
	builder := regexp.MustCompile(`\S+/golang:` + regexp.QuoteMeta(version) + `-\S+@sha256:[0-9a-f]{64}`)
	image := builder.FindString(read(t, "Dockerfile"))
	require.NotEmpty(t, image)
	assert.Contains(t, read(t, ".github/workflows/ci.yaml"), "image: "+strings.TrimPrefix(image, "BUILDER=")+"\n")
	for name := range workflows(t) {
		text := read(t, ".github/workflows/"+name)
		assert.Equal(t, strings.Count(text, "actions/setup-go@"), strings.Count(text, "go-version-file: .go-version"), name)
	}
}

// The image's binary is built as the archives' are: what the linker is told is the same.
func TestTheImageIsBuiltAsTheArchivesAre(t *testing.T) {
	t.Parallel()
	flags := func(text string) []string {
		match := regexp.MustCompile(`-s -w -buildid= (?:-X \S+ ?)+`).FindString(text)
		require.NotEmpty(t, match)
		match = strings.NewReplacer(`"`, "", "$(version_package)", "github.com/tracebloc/image-refresh/internal/version",
			"$(VERSION)", "${VERSION}", "$(COMMIT)", "${COMMIT}").Replace(match)
		return strings.Fields(match)
	}
	makefile, dockerfile, build := read(t, "Makefile"), read(t, "Dockerfile"), read(t, "release/build")
	assert.Equal(t, flags(makefile), flags(dockerfile))
	assert.Regexp(t, `CGO_ENABLED=0 (?:\S+ )*\\\n\tgo build -trimpath`, dockerfile)
	for _, setting := range []string{"export CGO_ENABLED := $(if $(RACE),1,0)", "export GOFLAGS := $(GOFLAGS) $(if $(RACE),,-trimpath)"} {
		assert.Contains(t, makefile, setting) // and release/build sets no RACE
	}
	assert.Contains(t, build, " RACE=\n")
	for _, setting := range []string{"GOFLAGS=-buildvcs=false", "GOTOOLCHAIN=local"} {
		assert.Contains(t, dockerfile, setting)
		assert.Contains(t, build, setting)
	}
}

// Every module is kept up to date, and so are the actions and the image's base.
func TestEveryModuleIsUpdated(t *testing.T) {
	t.Parallel()
	var updates struct {
		Updates []struct {
			Ecosystem   string   `json:"package-ecosystem"`
			Directory   string   `json:"directory"`
			Directories []string `json:"directories"`
		} `json:"updates"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, ".github/dependabot.yml")), &updates))
	covered := map[string][]string{}
	for _, one := range updates.Updates {
		covered[one.Ecosystem] = append(covered[one.Ecosystem], append(one.Directories, one.Directory)...)
	}
	assert.Contains(t, covered["docker"], "/")
	assert.Contains(t, covered["github-actions"], "/")
	list := exec.CommandContext(t.Context(), "git", "ls-files", "--", "go.mod", "*/go.mod")
	list.Dir = root(t)
	modules, err := list.Output()
	require.NoError(t, err)
	for _, module := range strings.Fields(string(modules)) {
		dir, matched := path.Join("/", path.Dir(module)), false
		for _, pattern := range covered["gomod"] {
			is, err := path.Match(pattern, dir)
			require.NoError(t, err)
			matched = matched || is
		}
		assert.True(t, matched, "nothing updates %s", module)
	}
}

// A form with a mistake in it is not offered, and nobody is told.
func TestTheIssueFormsAreForms(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(root(t), ".github", "ISSUE_TEMPLATE", "*.yml"))
	require.NoError(t, err)
	require.Len(t, files, 3)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var form struct {
			Name        string `json:"name"`
			Description string `json:"description"`
			Body        []struct {
				Type       string            `json:"type"`
				ID         string            `json:"id"`
				Attributes map[string]string `json:"attributes"`
			} `json:"body"`
			Links []struct{ Name, URL, About string } `json:"contact_links"`
		}
		require.NoError(t, yaml.Unmarshal(text, &form), file)
		if filepath.Base(file) == "config.yml" {
			assert.NotEmpty(t, form.Links)
			continue
		}
		assert.NotEmpty(t, form.Name, file)
		assert.NotEmpty(t, form.Description, file)
		require.NotEmpty(t, form.Body, file)
		for _, field := range form.Body {
			assert.Contains(t, []string{"markdown", "textarea", "input"}, field.Type, file)
			assert.NotEmpty(t, field.Attributes[map[bool]string{true: "value", false: "label"}[field.Type == "markdown"]], file)
			assert.Equal(t, field.Type == "markdown", field.ID == "", file)
		}
	}
}
