package scenario_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tracebloc/image-refresh/tests/registries"
)

// A registry that goes away in the middle of a request (a rolling update of its own, a load balancer) is asked again.
func TestARegistryThatGoesAwayInMidRequest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path   string
		leaves int
		cause  string
	}{
		"once, at the ping":     {"/v2/", 1, ""},
		"once, at the manifest": {"/v2/tracebloc/ingestor/manifests/0.3", 1, ""},
		"each time":             {"/v2/tracebloc/ingestor/manifests/0.3", 1000, "connection-refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := environment.Scenario(t)
			store := registries.NewStore(t.Context())
			address, err := registries.NewLeaver(t.Context(), s.Site.Authority, store, c.path, c.leaves)
			require.NoError(t, err)
			s.Site.Add(address, store, store)
			image := address + "/tracebloc/ingestor:0.3"
			digest := s.Push(image, registries.Image("one", "linux/amd64"))
			watch(s, map[string]pull{"ingestor": {image: image}})
			result := s.Run("plan")
			if c.cause == "" {
				requireResolved(t, result, "ingestor", digest)
				return
			}
			assert.Equal(t, c.cause, result.Report.Target("ingestor").Cause)
			assert.Contains(t, result.Report.Target("ingestor").Message, "cut the connection")
		})
	}
}
