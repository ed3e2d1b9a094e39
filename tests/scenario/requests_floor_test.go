package scenario_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/registries"
)

// A tick in which nothing has changed costs a HEAD an image, a ping a registry and a token for fifty images. Requests to one
// host share one connection, over HTTP/2.
func TestTheRequestFloor(t *testing.T) {
	t.Parallel()
	for _, images := range []int{1, 3, 60, 200} {
		for count := 1; count <= min(images, len(countedRegistries)); count++ {
			t.Run(fmt.Sprintf("%d images on %d registries", images, count), func(t *testing.T) {
				t.Parallel()
				hosts := countedRegistries[:count]
				s := fleet(t, images, hosts)
				requireOutcomes(t, s.Tick(), 0, "unchanged")
				for _, call := range s.Site.Front.Calls(nil) {
					assert.Equal(t, "HTTP/2.0", call.Proto, call.Path)
				}
				for _, one := range hosts {
					assert.Len(t, s.Site.Proxy.Connects(one.host), 1, "connections to %s", one.host)
					assert.LessOrEqual(t, len(s.Site.Proxy.Connects(one.tokens)), asked(s, one.tokens, registries.Token), "connections to %s", one.tokens)
				}
				requireFloor(t, s, images, hosts)
			})
		}
	}
}

// Nothing is kept from one tick to the next: neither a token nor what it was good for.
func TestTheNextTickCostsTheSame(t *testing.T) {
	t.Parallel()
	s := fleet(t, 6, countedRegistries)
	for range 2 {
		requireOutcomes(t, s.Tick(), 0, "unchanged")
		requireFloor(t, s, 6, countedRegistries)
	}
}

// Over HTTP/1.1, where a connection serves one request at a time, there are as many as requests at once; a few more may
// have been opened for a request that then took one that had come free.
func TestConnectionsAreReusedOverHTTP1(t *testing.T) {
	t.Parallel()
	const images, atOnce = 60, 4
	hosts := countedRegistries[:1]
	s := fleet(t, images, hosts)
	s.Site.Proxy.Intercept(true)
	s.Setenv("CONCURRENCY", strconv.Itoa(atOnce))
	requireOutcomes(t, s.Tick(), 0, "unchanged")
	assert.LessOrEqual(t, len(s.Site.Proxy.Connects(hubHost)), 2*atOnce)
	assert.LessOrEqual(t, len(s.Site.Proxy.Connects(hubTokens)), 2*atOnce)
	requireFloor(t, s, images, hosts)
}

// A tag that has moved costs one GET more, where the platforms are named; the digest in use is asked for where they are not.
func TestWhatAChangeCosts(t *testing.T) {
	t.Parallel()
	for line, more := range map[string]int{"platforms: [linux/amd64]": 1, "mode: apply": 2} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			hosts := countedRegistries[:1]
			s := fleet(t, 3, hosts, line)
			for i := range 3 {
				s.Push(fmt.Sprintf("docker.io/tracebloc/image-%03d:prod", i), image(fmt.Sprint("second ", i)))
			}
			requireOutcomes(t, s.Tick(), 0, "waiting") // for somebody who scales it up
			assert.Equal(t, 3*more, asked(s, hubHost, registries.Get))
			assert.Equal(t, 3+1+1+3*more, asked(s, ""))
		})
	}
}

// An account costs one proof more, however many images it is for; it gets tokens of its own.
func TestAnAccountCostsOneProof(t *testing.T) {
	t.Parallel()
	hosts := countedRegistries[:1]
	for _, accounts := range []int{1, 2} {
		t.Run(strconv.Itoa(accounts), func(t *testing.T) {
			t.Parallel()
			var lines []string
			for i := range accounts {
				lines = append(lines, fmt.Sprintf("pullSecrets: [puller-%d]", i))
			}
			const images = 60
			s := fleet(t, images, hosts, lines...)
			for i := range accounts {
				hubAccount(t, s, fmt.Sprintf("puller-%d", i))
			}
			requireOutcomes(t, s.Tick(), 0, "unchanged")
			batches := (images/accounts + perToken - 1) / perToken
			for i := range accounts {
				proofs, others := loginsOf(s, fmt.Sprintf("puller-%d", i))
				assert.Equal(t, 1, proofs)
				assert.Equal(t, batches, others, "each a token")
			}
			assert.Equal(t, images+1+accounts*(1+batches), asked(s, ""))
		})
	}
}

// No more images are asked for at once than CONCURRENCY says.
func TestConcurrencyIsBounded(t *testing.T) {
	t.Parallel()
	s := fleet(t, 20, countedRegistries[:1])
	s.Setenv("CONCURRENCY", "3")
	var now, most atomic.Int32
	s.Site.Front.Inject(registries.Fault{Match: registries.At(hubHost, registries.Head), Do: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		for here := now.Add(1); ; {
			if before := most.Load(); here <= before || most.CompareAndSwap(before, here) {
				break
			}
		}
		defer now.Add(-1)
		time.Sleep(20 * time.Millisecond)
		next.ServeHTTP(w, r)
	}})
	requireOutcomes(t, s.Tick(), 0, "unchanged")
	assert.Equal(t, int32(3), most.Load())
}

// I18: a registry that answers nothing costs a few images their time, not all of them.
func TestI18ASilentRegistryIsGivenUp(t *testing.T) {
	t.Parallel()
	const images, atOnce = 40, 4
	s := fleet(t, images, countedRegistries[:1])
	s.Setenv("CONCURRENCY", strconv.Itoa(atOnce))
	s.Setenv("RESOLVE_TIMEOUT", "2s")
	s.Site.Front.Inject(registries.Fault{Match: registries.At(hubHost, registries.Head), Do: faultinject.Hang()})
	result := s.Tick()
	requireOutcomes(t, result, 0, "skipped")
	given := 0
	for _, target := range result.Report.Targets {
		assert.Equal(t, "timeout", target.Cause)
		if strings.Contains(target.Message, "did not answer for 3 images before it") {
			given++
		}
	}
	assert.LessOrEqual(t, images-given, 2*atOnce, "those that were asked for before the third had no answer")
	assert.LessOrEqual(t, asked(s, hubHost, registries.Head), 2*atOnce)
}
