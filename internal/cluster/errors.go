package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/klog/v2"

	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/pause"
	"github.com/tracebloc/image-refresh/internal/workload"
)

// ErrNoDryRun says that a webhook would have to be called for a dry run that does not declare what such a call does.
var ErrNoDryRun = errors.New("a webhook takes no dry run")

// ErrConflict says that the object has changed since it was read: read again, decide again.
var ErrConflict = errors.New("the object has changed since it was read")

const (
	tries      = 4
	retryPause = 200 * time.Millisecond
	// unauthorizedPause is how long an API server among several may take to know a new pod's token.
	unauthorizedPause = 2 * time.Second
)

// do runs one request with a deadline and a place among those under way, and retries what may pass by itself.
// Every write is guarded by a resourceVersion, so sending it twice is safe.
func (c *Client) do(ctx context.Context, request func(context.Context) error) error {
	select {
	case c.inFlight <- struct{}{}:
		defer func() { <-c.inFlight }()
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ctx.Err(), context.Cause(ctx)) // a signal's own cause says not what it is
	}
	outer := ctx
	// Left to itself, client-go logs to stderr in a form of its own, between our lines.
	ctx, cancel := context.WithTimeout(klog.NewContext(ctx, c.library), requestTimeout)
	defer cancel()
	wait := retryPause
	known := false // it stays unauthorized
	var before error
	for try := 1; ; try++ {
		err := request(ctx)
		if err != nil && errors.Is(outer.Err(), context.Canceled) {
			return fmt.Errorf("%w: %w", context.Canceled, err) // a signal's own cause hides that
		}
		if err != nil && before != nil && ctx.Err() != nil { // an answer says more than that none came in time
			return before
		}
		before = err
		again := transient(err)
		if apierrors.IsUnauthorized(err) && !known {
			wait, known, again = max(wait, unauthorizedPause), true, true
		}
		if err == nil || try == tries || !again {
			return err
		}
		c.log.DebugContext(ctx, "asking the API server again", "try", try+1, "error", failure.Clean(err.Error()))
		if !pause.For(ctx, wait) {
			return err
		}
		wait *= 2
	}
}

// transient says whether an error may pass within the deadline. client-go itself waits out 429 and whatever
// else carries Retry-After.
func transient(err error) bool {
	switch {
	case apierrors.IsInternalError(err), apierrors.IsServiceUnavailable(err), apierrors.IsServerTimeout(err),
		apierrors.IsTooManyRequests(err), apierrors.IsTimeout(err):
		return true
	case utilnet.IsConnectionReset(err), utilnet.IsConnectionRefused(err), utilnet.IsProbableEOF(err), utilnet.IsHTTP2ConnectionLost(err):
		return true
	}
	return errors.Is(err, syscall.EPIPE)
}

// deniedBy finds who has refused a request at admission, in the words of the API server
// (https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/): the status is 400, 403 or 422.
var deniedBy = regexp.MustCompile(`(admission webhook|ValidatingAdmissionPolicy) ["']([^"']+)["'].* denied`)

// notCalled and noDryRun find the webhook that stands in the way of a request, likewise: one that does not answer, and, where the
// request is a dry run, one that does not declare what it does then.
var (
	notCalled = regexp.MustCompile(`failed calling webhook "([^"]+)"`)
	noDryRun  = regexp.MustCompile(`admission webhook "([^"]+)" does not support dry run`)
)

func kindOfAdmission(words string) string {
	if words == "admission webhook" {
		return words
	}
	return "admission policy"
}

// failure words what the API server answered, or that it did not.
func failureOf(verb string, ref workload.Ref, err error) *failure.Error {
	out := &failure.Error{Cause: failure.API, Err: err}
	timeout := errors.Is(err, context.DeadlineExceeded)
	if netErr, ok := errors.AsType[net.Error](err); ok && netErr.Timeout() {
		timeout = true
	}
	text := failure.Clean(err.Error())
	admission, absent, unasked := deniedBy.FindStringSubmatch(err.Error()), notCalled.FindStringSubmatch(err.Error()), noDryRun.FindStringSubmatch(err.Error())
	switch {
	case unasked != nil:
		out.Cause, out.Err = failure.None, ErrNoDryRun
		out.Message = fmt.Sprintf("the admission webhook %s takes no dry run, so what it makes of a %s of %s is not known", failure.Clean(unasked[1]), verb, ref)
		out.Fix = "have its configuration declare that a dry run has no side effects (sideEffects: NoneOnDryRun or None)"
	case absent != nil:
		out.Message = fmt.Sprintf("the API server cannot call the admission webhook %s, and so does not %s %s (%s)",
			failure.Clean(absent[1]), verb, ref, failure.CleanEnds(err.Error()))
		out.Fix = "see to the Service and the pods of that webhook, or remove its configuration where it is not used any more"
	case admission != nil:
		out.Message = fmt.Sprintf("the %s %s refuses to let us %s %s, which is no matter of permissions (%s)",
			kindOfAdmission(admission[1]), failure.Clean(admission[2]), verb, ref, failure.CleanEnds(err.Error()))
		out.Fix = "meet what it demands, or exempt our service account from it"
	case apierrors.IsNotFound(err) && verb == "get":
		out.Cause = failure.WorkloadMissing
		out.Message, out.Fix = fmt.Sprintf("%s does not exist", ref), "correct the target's workload, or install it"
	case apierrors.IsNotFound(err):
		out.Message = fmt.Sprintf("%s is gone: it was deleted while the tick was running", ref)
	case apierrors.IsForbidden(err):
		out.Message = fmt.Sprintf("the API server forbids %s on %s %s in namespace %s (%s)", verb, ref.Resource(), ref.Name, ref.Namespace, text)
		out.Fix = "grant the verb in its Role"
	case apierrors.IsUnauthorized(err):
		out.Message = fmt.Sprintf("the API server does not accept our credentials, asked to %s %s", verb, ref)
		out.Fix = "check the service account's token, or the kubeconfig"
	case apierrors.IsInvalid(err):
		out.Message = fmt.Sprintf("the API server finds the change to %s invalid: %s", ref, text)
	case errors.Is(err, context.Canceled):
		out.Message, out.Fix = fmt.Sprintf("the tick was told to end while it was to %s %s", verb, ref), "the next one continues"
	case timeout:
		out.Message = fmt.Sprintf("the API server did not answer in time, asked to %s %s", verb, ref)
		out.Fix = "check the way to it (NetworkPolicy, load)"
	default:
		out.Message = fmt.Sprintf("the API server could not %s %s: %s", verb, ref, text)
	}
	return out
}
