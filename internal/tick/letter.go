package tick

import (
	"bytes"
	"context"
	"slices"
	"sync"

	"github.com/tracebloc/image-refresh/internal/annotate"
	"github.com/tracebloc/image-refresh/internal/decide"
	"github.com/tracebloc/image-refresh/internal/notify"
	"github.com/tracebloc/image-refresh/internal/result"
)

// Sender tells people outside of the cluster. It bounds each delivery by itself.
type Sender interface {
	Send(context.Context, notify.Message) []notify.Delivery
}

// letter is what this tick has won to send about targets whose home a workload is.
type letter struct {
	*workloadRun
	noted     progress // the workload as the note left it
	tells     []decide.Telling
	standings []decide.Standing
}

// send tells in one message all that this tick has won to send, and notes what became of it: taken by somebody or by nobody. A
// tick that is told to end sends nothing.
func (t *tick) send(ctx context.Context, letters []*letter, report result.Report) {
	if len(letters) == 0 || ctx.Err() != nil {
		return
	}
	deliveries := t.Sender.Send(ctx, t.message(letters, report))
	taken := slices.ContainsFunc(deliveries, func(d notify.Delivery) bool { return d.Taken })
	for _, delivery := range deliveries {
		if delivery.Failure != "" {
			t.Log.WarnContext(ctx, "a notification was not taken by "+delivery.URL+": "+delivery.Failure)
		}
	}
	grace, cancel := graceContext(ctx)
	defer cancel()
	var all sync.WaitGroup
	for _, l := range letters {
		all.Go(func() {
			decided := func(_ context.Context, p progress) progress {
				p.step = decide.Step{Change: t.rules.Told(p.facts, t.layout.rules, l.tells, taken)}
				return p
			}
			if _, failed := l.write(grace, decided(grace, l.noted), decided); failed != nil {
				t.Log.WarnContext(ctx, "what became of a notification could not be noted: it may be sent again", "workload", l.ref.String(), "error", t.rules.Runbook.Advice(failed))
			}
		})
	}
	all.Wait()
}

// message words what is to be sent: what fails first, then what does no more, then what is new.
func (t *tick) message(letters []*letter, report result.Report) notify.Message {
	var fails, over, news []notify.Notice
	concerned := report
	concerned.Targets = nil
	for _, l := range letters {
		for _, telling := range l.tells {
			standing, name := l.standings[telling.Target], t.targets[telling.Target].Name
			concerned.Targets = append(concerned.Targets, report.Targets[telling.Target])
			switch n := telling.Notice; {
			case !telling.Standing:
			case n.Standing != annotate.Fine:
				fails = append(fails, t.trouble(name, telling, standing))
			case !n.Until.IsZero():
				over = append(over, notify.Notice{Target: name, State: "recovered", Lasted: decide.Lasted(n.Until.Sub(n.Since))})
			}
			if telling.News && telling.Notice.Digest != "" {
				news = append(news, t.newDigest(name, telling, standing))
			}
		}
	}
	message := notify.Compose(string(t.Config.ClusterName), t.Namespace, slices.Concat(fails, over, news))
	var body bytes.Buffer
	if err := concerned.WriteJSON(&body); err == nil {
		message.Result = body.Bytes()
	}
	return message
}

// said are the standings in words.
var said = map[annotate.Standing]string{
	annotate.Unresolved: "not resolved", annotate.NotRolledOut: "not rolled out", annotate.Refused: "rejected", annotate.Fought: "contested",
	annotate.Wrong: "not what is configured",
}

// newDigest is what is told of a digest that a target was refreshed to, or that waits for a person.
func (t *tick) newDigest(name string, telling decide.Telling, standing decide.Standing) notify.Notice {
	notice := notify.Notice{Target: name, State: "refreshed", Sentence: "latest is " + telling.Notice.Digest.Short()}
	if telling.Waits {
		notice.State = "a new digest waits for a person"
	}
	if standing.Waits == "" && standing.Recorded == "" { // it is told of later than it was seen
		return notice
	}
	on := t.workloads[t.places[telling.Target][standing.NewsAt].workload].ref
	if notice.Workload = on.String(); standing.Waits != "" {
		notice.Fix = on.ToApprove(t.keys, standing.Waits)
	}
	if standing.Builds != "" {
		notice.Sentence += ": " + standing.Builds
	}
	return notice
}

// trouble is what is told of a target that fails.
func (t *tick) trouble(name string, telling decide.Telling, standing decide.Standing) notify.Notice {
	notice := notify.Notice{Target: name, State: said[telling.Notice.Standing], Since: telling.Notice.Since}
	failed := standing.Failure
	if failed == nil { // what it was before is not known to be over
		return notice
	}
	notice.Cause, notice.Sentence, notice.Fix, notice.See = failed.Cause, failed.Message, failed.Fix, t.rules.Runbook.Of(failed.Cause)
	if standing.At >= 0 {
		notice.Workload = t.workloads[t.places[telling.Target][standing.At].workload].ref.String()
	}
	return notice
}
