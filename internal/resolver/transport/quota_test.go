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
		"76;w=21600": {Known: true, Remaining: 76, Window: 6 * time.Hour}, "0;w=21600": {Known: true, Window: 6 * time.Hour},
		"5": {Known: true, Remaining: 5}, "3;w=x": {Known: true, Remaining: 3},
		"": {}, " ": {}, "many": {}, "-1;w=60": {}, "99999999999999999999": {},
	} {
		got := parseQuota(http.Header{"Ratelimit-Remaining": {header}})
		assert.Equal(t, want, got, header)
		assert.Equal(t, header == "0;w=21600", got.Exhausted(), header)
	}
}
