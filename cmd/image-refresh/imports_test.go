package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "github.com/tracebloc/image-refresh/"

// listed is a package as go list knows it.
type listed struct {
	ImportPath                         string
	GoFiles                            []string
	Imports, TestImports, XTestImports []string
	Deps                               []string
}

func packages(t *testing.T) map[string]listed {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,GoFiles,Imports,TestImports,XTestImports,Deps", module+"...")
	output, err := command.Output()
	require.NoError(t, err)
	all := map[string]listed{}
	for decoder := json.NewDecoder(strings.NewReader(string(output))); ; {
		var one listed
		if err := decoder.Decode(&one); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
		all[strings.TrimPrefix(one.ImportPath, module)] = one
	}
	require.Contains(t, all, "cmd/image-refresh")
	require.Greater(t, len(all), 10)
	return all
}

// A library that talks to the outside is known to one package, which owns how that fails.
func TestOnePackageAloneImportsEachLibrary(t *testing.T) {
	t.Parallel()
	all := packages(t)
	for library, owners := range map[string][]string{
		"k8s.io/client-go": {"internal/cluster"},
		"k8s.io/klog":      {"internal/cluster"},
		// Names are parsed in one place, and registries are asked from internal/resolver alone.
		"github.com/google/go-containerregistry/pkg/name":  {"internal/image", "internal/resolver"},
		"github.com/google/go-containerregistry/pkg/authn": {"internal/resolver"},
		"github.com/google/go-containerregistry/pkg/v1":    {"internal/resolver", "internal/resolver/transport"},
		"github.com/google/go-containerregistry":           {"internal/image", "internal/resolver", "internal/resolver/transport"},
		"github.com/docker/":                               {"internal/resolver/dockerconfig"},
		"os/exec":                                          {"internal/resolver/dockerconfig"},
		"k8s.io/api/":                                      {"internal/cluster", "internal/proposal", "internal/workload"},
		"github.com/robfig/cron":                           {"internal/status"},
		"go.yaml.in/yaml":                                  {"internal/config", "internal/proposal", "internal/result"},
		"github.com/aws/":                                  {"internal/resolver/cloud"},
		"github.com/Azure/":                                {"internal/resolver/cloud"},
		"cloud.google.com/":                                {"internal/resolver/cloud"},
		"golang.org/x/oauth2":                              {"internal/resolver/cloud"},
		"net/http":                                         {"internal/cluster", "internal/notify", "internal/resolver", "internal/resolver/cloud", "internal/resolver/transport"},
		"github.com/nicholas-fedor/shoutrrr":               {"internal/notify"},
	} {
		for name, one := range all {
			imports := one.Imports
			if strings.Contains(library, "client-go") || strings.Contains(library, "containerregistry") {
				imports = slices.Concat(imports, one.TestImports, one.XTestImports)
			}
			for _, imported := range imports {
				if strings.HasPrefix(imported, library) {
					assert.Contains(t, owners, name, "%s imports %s", name, imported)
				}
			}
		}
	}
}

// Arrows run one way. What is pure does not reach what asks somebody, by any detour.
func TestNothingBelowKnowsWhatIsAbove(t *testing.T) {
	t.Parallel()
	all := packages(t)
	const asking = "github.com/google/go-containerregistry/pkg/v1" // pkg/name parses, and asks nobody
	for name, never := range map[string][]string{
		"internal/check":              {module + "cmd/image-refresh"},
		"internal/choice":             {module + "cmd/image-refresh", module + "internal/check", module + "internal/preflight"},
		"internal/tick":               {module + "cmd/image-refresh", module + "internal/check", module + "internal/choice", module + "internal/preflight"},
		"internal/cluster":            {module + "internal/tick", module + "internal/resolver"},
		"internal/notify":             {module + "internal/tick", module + "internal/cluster", module + "internal/decide", module + "internal/config", "k8s.io/"},
		"internal/resolver":           {module + "internal/tick", module + "internal/cluster", module + "internal/decide", "k8s.io/client-go"},
		"internal/resolver/transport": {module + "internal/resolver", module + "internal/credential", module + "internal/image"},
		"internal/workload":           {module + "internal/tick", module + "internal/cluster", module + "internal/resolver", "k8s.io/client-go"},
		"internal/proposal":           {module + "internal/tick", module + "internal/cluster", module + "internal/resolver", "k8s.io/client-go", asking},
		"internal/status":             {module + "internal/tick", module + "internal/cluster", module + "internal/resolver", "k8s.io/client-go", asking},
		"internal/result":             {module + "internal/tick", module + "internal/cluster", module + "internal/resolver", "k8s.io/", "net/http"},
		"internal/config":             {module + "internal/tick", module + "internal/cluster", module + "internal/resolver", "k8s.io/client-go", "k8s.io/api/"},
		"internal/decide":             {module + "internal/workload", module + "internal/config", "k8s.io/", "net/http", "log/slog", asking},
		"internal/preflight":          {module + "internal/tick", module + "internal/check", module + "internal/cluster", "k8s.io/"},
		"internal/annotate":           {module + "internal/decide", "k8s.io/", "net/http", asking},
	} {
		require.Contains(t, all, name)
		for _, dependency := range all[name].Deps {
			for _, one := range never {
				assert.False(t, dependency != module+name && strings.HasPrefix(dependency, one), "%s reaches %s", name, dependency)
			}
		}
	}
}

// The architecture is drawn in CONTRIBUTING.md: every package, and each arrow that does not follow from others.
func TestTheArchitectureIsDrawnAsItIsBuilt(t *testing.T) {
	t.Parallel()
	all := packages(t)
	drawn := read(t, root+"/CONTRIBUTING.md")
	_, drawn, _ = strings.Cut(drawn, "```mermaid\n")
	drawn, _, found := strings.Cut(drawn, "```\n")
	require.True(t, found)
	var boxes, arrows, wantedBoxes, wantedArrows []string
	for _, match := range regexp.MustCompile(`(?m)^  (\w+)\["`).FindAllStringSubmatch(drawn, -1) {
		boxes = append(boxes, match[1])
	}
	for _, match := range regexp.MustCompile(`(?m)^  (\w+ --> \w+)$`).FindAllStringSubmatch(drawn, -1) {
		arrows = append(arrows, match[1])
	}
	short := func(name string) string {
		return path.Base(strings.TrimSuffix(name, "/image-refresh"))
	}
	for name, one := range all {
		if len(one.GoFiles) == 0 {
			continue // tests alone
		}
		wantedBoxes = append(wantedBoxes, short(name))
		for _, imported := range one.Imports {
			follows := !strings.HasPrefix(imported, module)
			for _, other := range one.Imports {
				follows = follows || other != imported && slices.Contains(all[strings.TrimPrefix(other, module)].Deps, imported)
			}
			if !follows {
				wantedArrows = append(wantedArrows, short(name)+" --> "+short(imported))
			}
		}
	}
	assert.ElementsMatch(t, wantedBoxes, boxes, "the packages in CONTRIBUTING.md")
	assert.ElementsMatch(t, wantedArrows, arrows, "the arrows in CONTRIBUTING.md")
}
