package resolver

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/internal/image"
)

func TestRegistriesTakeTurns(t *testing.T) {
	t.Parallel()
	of := func(hosts ...string) (all []Query) {
		for _, host := range hosts {
			all = append(all, Query{Image: image.Reference{Host: host}})
		}
		return all
	}
	assert.Equal(t, []int{0, 3, 5, 1, 4, 2}, interleave(of("a", "a", "a", "b", "b", "c")))
	assert.Empty(t, interleave(nil))
}
