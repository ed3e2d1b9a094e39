package transport

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestParseQuota(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]Quota{
		"76;w=21600": {Known: true, Remaining: 76, Window: 6 * time.Hour}, "0;w=21600": {Known: true, Window: 6 * time.Hour}, "5": {Known: true, Remaining: 5},
		"": {}, " ": {}, "many": {}, "-1;w=60": {}, "99999999999999999999": {}, "3;w=x": {Known: true, Remaining: 3},
	} {
		assert.Equal(t, want, parseQuota(http.Header{"Ratelimit-Remaining": {header}}), header)
	}
	assert.Equal(t, Quota{}, parseQuota(nil))
	assert.True(t, Quota{Known: true}.Exhausted())
	assert.False(t, Quota{}.Exhausted())
}
