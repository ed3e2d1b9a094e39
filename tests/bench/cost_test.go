package bench

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestFigures(t *testing.T) {
	t.Parallel()
	ours := []cost{{CPU: 2 * time.Second}, {CPU: time.Second}, {CPU: 4 * time.Second}}
	theirs := []cost{{CPU: 20 * time.Second}, {CPU: 30 * time.Second}, {CPU: 20 * time.Second}}
	assert.Equal(t, figure{2, 1, 4}, of(ours, cpu))
	assert.Equal(t, figure{1.5, 1, 2}, of(ours[:2], cpu))
	assert.Equal(t, figure{10, 5, 30}, ratio(ours, theirs, cpu), "run by run")
	assert.InDelta(t, 1.5, of(ours, cpu).noise(), 1e-9)
	assert.Equal(t, []string{"7 ms", "1.50 s", "12.3 s"}, []string{seconds(0.0071), seconds(1.5), seconds(12.34)})
}
