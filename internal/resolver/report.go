package resolver

import (
	"slices"
	"strings"
	"time"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// HostReport is how far one registry could be asked in this tick: what a preflight prints a line of.
type HostReport struct {
	Host      string // as references name it
	Address   string // where it was asked
	Challenge string // "none", "basic" or "bearer"; empty where it could not be asked
	TokenHost string // of a bearer challenge
	Failure   *failure.Error
	Proofs    []Proof
	Identity  *Identity // of a cloud's registry, where no credential is named for it
	// Unused says what is wrong with an entry of the configuration that is for no image; empty where one is asked.
	Unused string
}

// Proof is what a registry made of one credential.
type Proof struct {
	Source  credential.Name // the zero value for DOCKER_CONFIG
	Holder  string          // what people know it by
	Cloud   bool            // it is the pod's identity in a cloud
	State   ProofState
	Ends    time.Time      // where that is within a day, and the password says so itself
	Failure *failure.Error // where it was rejected
}

// Identity is what became of the identity of the pod that this program runs in, at a cloud's registry.
type Identity struct {
	Holder  string         // whom it is for; empty where there is none
	Needed  bool           // an image there is not served to anybody
	Failure *failure.Error // why there is none
}

// Report tells of every registry that was asked so far, by host.
func (r *Resolver) Report() []HostReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []HostReport
	for name, h := range r.hosts {
		report, planned, visited := h.report()
		report.Host = name
		if who, p, known := h.identities.peek(struct{}{}); known {
			report.Identity = &Identity{Needed: h.identityNeeded.Load()}
			if p != nil {
				report.Identity.Failure = r.failure(&subject{host: name}, p)
			} else {
				report.Identity.Holder = who.String()
			}
		}
		ch, p, asked := h.pings.peek(struct{}{})
		h.late.Range(func(_, late any) bool {
			ch, p = late.(challenge), nil
			return false
		})
		switch {
		case !visited, p != nil && !planned: // for its opinion of a mirror alone: that it has none is nothing to report
			continue
		case !asked:
		case p != nil:
			report.Failure = r.failure(&subject{host: name}, p)
		default:
			report.Challenge = [...]string{open: "none", basic: "basic", bearer: "bearer"}[ch.method]
			if ch.realm != nil {
				report.TokenHost = failure.Clean(ch.realm.Host)
			}
		}
		all = append(all, report)
	}
	for name := range r.unused {
		all = append(all, HostReport{Host: name, Address: address(name), Unused: unusedText(name)})
	}
	slices.SortFunc(all, func(a, b HostReport) int { return strings.Compare(a.Host, b.Host) })
	return all
}

// report tells what a host made of each credential, and says whether images were to be asked for there, and whether one was.
func (h *host) report() (report HostReport, planned, visited bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	report.Address = h.address
	for c := range h.tried {
		v := h.known(c)
		proof := Proof{Source: c.Source, Holder: c.String(), Cloud: c.Cloud(), State: v.state}
		if v.problem != nil {
			proof.Failure = rejectedFailure(c, "", v.problem, "")
		}
		switch end := c.Expires(); {
		case end.IsZero(), c.Cloud(), time.Until(end) > 24*time.Hour:
		case time.Now().Before(end):
			proof.Ends = end
		case v.state == NotVerified: // ECR answers a dead account and one without rights alike
			proof.State, proof.Failure = Rejected, endedFailure(c)
		}
		report.Proofs = append(report.Proofs, proof)
	}
	slices.SortFunc(report.Proofs, func(a, b Proof) int { return strings.Compare(a.Holder, b.Holder) })
	return report, len(h.groups) > 0, h.visited
}
