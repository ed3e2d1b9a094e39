// Package release tests what makes a release, as far as that goes without the network: the scripts in release/, and that the
// workflows are what their readers trust them to be. What comes out of a build is checked by release/dry-run.
package release

import (
	"cmp"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// root is the repository's.
const root = "../.."

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	require.NoError(t, err)
	return string(text)
}

// filesOf are the files in a folder of .github, as what they hold.
func filesOf[T any](t *testing.T, folder string, count int) map[string]T {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(root, ".github", folder))
	require.NoError(t, err)
	require.Len(t, entries, count)
	all := map[string]T{}
	for _, entry := range entries {
		var one T
		require.NoError(t, yaml.Unmarshal([]byte(read(t, ".github/"+folder+"/"+entry.Name())), &one), entry.Name())
		all[entry.Name()] = one
	}
	return all
}

type workflow struct {
	Permissions map[string]string `json:"permissions"`
	Jobs        map[string]struct {
		Permissions map[string]string `json:"permissions"`
		Timeout     int               `json:"timeout-minutes"`
		Environment string            `json:"environment"`
		Steps       []struct {
			Uses string         `json:"uses"`
			With map[string]any `json:"with"`
			Run  string         `json:"run"`
		} `json:"steps"`
	} `json:"jobs"`
}

func workflows(t *testing.T) map[string]workflow { return filesOf[workflow](t, "workflows", 4) }

// An action is somebody else's program with our rights: a tag can be moved, a commit cannot.
func TestActionsArePinnedByCommit(t *testing.T) {
	t.Parallel()
	pinned := regexp.MustCompile(`uses: ([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)$`)
	pins := map[string]string{}
	for name := range workflows(t) {
		assert.Equal(t, ".yaml", filepath.Ext(name), "make lint looks at these")
		for _, line := range regexp.MustCompile(`(?m)^.*uses:.*$`).FindAllString(read(t, ".github/workflows/"+name), -1) {
			match := pinned.FindStringSubmatch(line)
			require.NotNil(t, match, "%s: %s", name, line)
			repository := strings.Join(strings.SplitN(match[1], "/", 3)[:2], "/")
			pin := match[2] + " " + match[3]
			pins[repository] = cmp.Or(pins[repository], pin)
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
		assert.Equal(t, map[string]string{}, one.Permissions, "%s gives every job rights", name)
		assert.NotEmpty(t, one.Jobs, name)
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
			if name == "release.yaml" {
				assert.Equal(t, "release", job.Environment, "%s: the environment's rules say who may release", id)
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
		secrets := regexp.MustCompile(`secrets\.\w+`).FindAllString(read(t, ".github/workflows/"+name), -1)
		if name == "release.yaml" { // docker.io takes no identity of a workflow
			assert.Equal(t, []string{"secrets.DOCKERHUB_TOKEN"}, secrets, "in the one job that pushes there")
		} else {
			assert.Empty(t, secrets, name)
		}
	}
	for _, scopes := range writes {
		slices.Sort(scopes)
	}
	assert.Equal(t, map[string][]string{
		"codeql.yaml analyze":   {"security-events"},
		"release.yaml archives": {"attestations", "id-token"},
		"release.yaml image":    {"artifact-metadata", "attestations", "id-token", "packages"},
		"release.yaml chart":    {"artifact-metadata", "attestations", "id-token", "packages"},
		"release.yaml publish":  {"contents"},
	}, writes, "no other job writes anything")
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
	list.Dir = root
	modules, err := list.Output()
	require.NoError(t, err)
	for _, module := range strings.Fields(string(modules)) {
		assert.True(t, slices.ContainsFunc(covered["gomod"], func(pattern string) bool {
			matched, err := path.Match(pattern, path.Join("/", path.Dir(module)))
			return err == nil && matched
		}), "nothing updates %s", module)
	}
}

type form struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Body        []struct {
		Type       string            `json:"type"`
		ID         string            `json:"id"`
		Attributes map[string]string `json:"attributes"`
	} `json:"body"`
	Links []struct{ Name, URL, About string } `json:"contact_links"`
}

// A form with a mistake in it is not offered, and nobody is told.
func TestIssueFormsAreForms(t *testing.T) {
	t.Parallel()
	needs := map[string]string{"markdown": "value", "textarea": "label", "input": "label"}
	for file, form := range filesOf[form](t, "ISSUE_TEMPLATE", 3) {
		if file == "config.yml" {
			assert.NotEmpty(t, form.Links)
			continue
		}
		assert.NotEmpty(t, form.Name, file)
		assert.NotEmpty(t, form.Description, file)
		require.NotEmpty(t, form.Body, file)
		for _, field := range form.Body {
			assert.NotEmpty(t, field.Attributes[needs[field.Type]], "%s: %s", file, field.Type)
			assert.Equal(t, field.Type == "markdown", field.ID == "", file)
		}
	}
}
