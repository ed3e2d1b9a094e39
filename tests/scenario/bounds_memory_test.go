package scenario_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/apiproxy"
	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/harness"
	"github.com/tracebloc/image-refresh/tests/product"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// Whatever a registry sends, for every image at once, a tick stays within the memory that it has. The program
// is measured as it is shipped: the race detector alone needs several times as much.
func TestAGigabyteFromARegistryIsNotHeld(t *testing.T) {
	t.Parallel()
	binary := environment.Binary
	if environment.Race {
		var err error
		binary, err = product.Build(t.Context(), t.TempDir(), false, os.Stderr)
		require.NoError(t, err)
	}
	const memoryLimit = 128 << 20 // what the chart gives the pod: a tick that needs more is killed
	ping, token := registries.At(hubHost, registries.Ping), registries.At(hubTokens, registries.Token)
	head, get := registries.At(hubHost, registries.Head), registries.At(hubHost, registries.Get)
	endless := faultinject.Huge(1 << 30) // for each of the images that are asked for side by side
	noDigest := registries.Fault{Match: head, Do: faultinject.Header("Docker-Content-Digest")}
	// As many layers of nothing as a manifest has room for, of which a reader would make a hundred times as much.
	unfolding := `{"schemaVersion":2,"mediaType":"` + string(types.OCIManifestSchema1) + `","layers":[` + strings.Repeat("0,", 2<<20-100) + `0]}`
	for name, rules := range map[string][]registries.Fault{
		"nothing":                nil,
		"ping":                   {{Match: ping, Do: endless}},
		"token":                  {{Match: token, Do: endless}},
		"refusal of a token":     {{Match: token, Do: faultinject.Then(endless, faultinject.Reply(403, ""))}},
		"refusal of a manifest":  {{Match: ofManifests(hubHost), Do: faultinject.Then(endless, faultinject.Reply(401, ""))}},
		"manifest by tag":        {noDigest, {Match: get, Do: endless}},
		"manifest by digest":     {{Match: get, Do: endless}},
		"config":                 {{Match: registries.At(hubHost, registries.Blob), Do: endless}},
		"manifest that unfolds":  {noDigest, {Match: get, Do: ofType(types.OCIManifestSchema1, unfolding)}},
		"largest valid manifest": {noDigest, {Match: get, Do: ofType(types.OCIImageIndex, largestIndex())}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := crowd(t, 10)
			for _, rule := range rules {
				s.Site.Front.Inject(rule)
			}
			assert.Less(t, peakOf(t, s, binary), int64(memoryLimit))
		})
	}
}

func ofType(mediaType types.MediaType, body string) faultinject.Action {
	return faultinject.Reply(200, body, "Content-Type", string(mediaType))
}

// largestIndex is an index as large as a manifest may be, most of which is kept while it is read.
func largestIndex() string {
	const entries = 900
	entry := `{"mediaType":"` + string(types.OCIManifestSchema1) + `","size":2,"digest":"` + digestOf("") + `","annotations":{"a":"%s"}}`
	entry = fmt.Sprintf(entry, strings.Repeat("x", 4<<20/entries-len(entry)-2))
	return `{"schemaVersion":2,"mediaType":"` + string(types.OCIImageIndex) + `","manifests":[` + strings.Repeat(entry+",", entries-1) + entry + `]}`
}

// crowd makes a scenario with so many Deployments, each of which follows an image of its own that has moved, so that all
// are asked for side by side.
func crowd(t *testing.T, images int) *harness.Scenario {
	t.Helper()
	s := environment.Scenario(t)
	config := "targets:\n"
	for i := range images {
		name := fmt.Sprintf("image-%03d", i)
		reference := "docker.io/tracebloc/" + name + ":prod"
		digest := s.Push(reference, image("first"))
		s.Push(reference, registries.Image("second", "linux/amd64"))
		s.Deploy(workloads.Deployment(name, workloads.Container("main", reference+"@"+digest), workloads.Replicas(0),
			workloads.Label("tracebloc.io/"+name+"-digest", label(digest)),
			workloads.Annotation("tracebloc.io/last-refreshed-"+name+"-digest", digest)))
		config += targetOf(name, reference, entry("Deployment", name, ""))
	}
	s.Configure(config)
	return s
}

// peakOf runs a tick and returns the most memory that it held until it first wrote to a workload, which is after it has
// asked the registries for everything.
func peakOf(t *testing.T, s *harness.Scenario, binary string) (peak int64) {
	t.Helper()
	s.Setenv("MAX_ROLLOUTS", "0")
	started := make(chan *harness.Run, 1)
	s.API.Inject(apiproxy.Fault{Match: patches, Times: 1, Do: faultinject.Before(func() {
		var err error
		if peak, err = (<-started).PeakMemory(); err != nil {
			t.Error(err)
		}
	})})
	run := s.StartAs(binary)
	started <- run
	harness.RequireExit(t, 0, run.Finish())
	require.Positive(t, peak)
	return peak
}
