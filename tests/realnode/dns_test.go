//go:build linux

package realnode

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
)

func TestNamesAreAnswered(t *testing.T) {
	t.Parallel()
	r := resolver{names: map[string]netip.Addr{"ghcr.io": netip.MustParseAddr("172.30.0.20")}}
	for name, c := range map[string]struct {
		name    string
		kind    dnsmessage.Type
		code    dnsmessage.RCode
		answers int
	}{
		"a name":                     {"ghcr.io.", dnsmessage.TypeA, dnsmessage.RCodeSuccess, 1},
		"in any case":                {"GHCR.io.", dnsmessage.TypeA, dnsmessage.RCodeSuccess, 1},
		"without an IPv6 address":    {"ghcr.io.", dnsmessage.TypeAAAA, dnsmessage.RCodeSuccess, 0},
		"unknown":                    {"quay.io.", dnsmessage.TypeA, dnsmessage.RCodeNameError, 0},
		"with a search domain added": {"ghcr.io.svc.cluster.local.", dnsmessage.TypeA, dnsmessage.RCodeNameError, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			query := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, RecursionDesired: true}, Questions: []dnsmessage.Question{
				{Name: dnsmessage.MustNewName(c.name), Type: c.kind, Class: dnsmessage.ClassINET},
			}}
			packed, err := query.Pack()
			require.NoError(t, err)
			packed, err = r.answer(packed)
			require.NoError(t, err)
			var answer dnsmessage.Message
			require.NoError(t, answer.Unpack(packed))
			assert.Equal(t, uint16(7), answer.ID)
			assert.True(t, answer.Response)
			assert.Equal(t, c.code, answer.RCode)
			require.Len(t, answer.Answers, c.answers)
			if c.answers > 0 {
				assert.Equal(t, &dnsmessage.AResource{A: [4]byte{172, 30, 0, 20}}, answer.Answers[0].Body)
			}
		})
	}
	_, err := r.answer([]byte("no message"))
	assert.Error(t, err)
}
