package modelcheck

import "github.com/tracebloc/image-refresh/internal/annotate"

// What persons say of a digest by a label, and the invariants of that.

// choices is what they have said.
type choices struct {
	approved [mostWorkloads][mostTargets]set   // what a notify target may put there
	awaited  [mostWorkloads][mostTargets]uint8 // of that, what was latest then, and has come to no end yet
	skipped  [mostWorkloads][mostTargets]uint8 // what was latest then, and not in use
}

// awaitedOnly is a history of nothing but what persons wait for.
func (h *history) awaitedOnly() (only history) {
	only.awaited = h.awaited
	return only
}

func label(content uint8) string { return string(annotate.DigitsOf(digestOf[content])) }

func (m *model) eventsOfLabels(o *object, known, at uint8) (all []event) {
	for d := uint8(1); d <= known; d++ {
		for i, key := range [...]string{keys.Approve(), keys.Skip()} {
			if m.core.texts[o.labels][key] != label(d) {
				all = append(all, event{[...]kind{approves, skips}[i], at, 0, d, func(s *step) {
					m.choose(s, int(at), d, key)
					s.objects[at].labels = m.core.with(s.objects[at].labels, map[string]string{key: label(d)})
				}})
			}
		}
	}
	return all
}

// choose notes what a person says of a digest. What they have said before may be overwritten before any tick has seen it.
func (m *model) choose(s *step, at int, d uint8, key string) {
	o, g := &s.objects[at], &s.history
	s.demand(at)
	for t := range m.targets {
		approved, awaited, skipped := &g.approved[at][t], &g.awaited[at][t], &g.skipped[at][t]
		counts := d == s.tags[t] && !m.inUse(o, t, d) && (m.targets == 1 || d != s.tags[1-t]) // a tick may know one of two
		switch {
		case key == keys.Skip():
			if *skipped = empty; counts {
				*skipped = d
				*approved &^= 1 << d
			}
			if *awaited == d {
				*awaited = empty
			}
		case m.notify:
			approved.add(d)
			if *awaited = empty; counts {
				*awaited = d
			}
			if g.thrown[at][t] == d {
				g.thrown[at][t] = empty
			}
			if *skipped == d {
				*skipped = empty
			}
		}
	}
}

// inUse says whether a digest is in the slots or, where they hold a tag alone, was found to run.
func (m *model) inUse(o *object, t int, d uint8) bool {
	record := m.core.recordOf(o.texts, t)
	return m.together(o, t) == d || m.bare(o, t) && record.Mark == annotate.Unpinned && record.Recorded.Is(digestOf[d])
}

// approves says whether a label that no tick has taken yet approves a digest.
func (m *model) approves(labels id, d uint8) bool {
	return m.notify && m.core.texts[labels][keys.Approve()] == label(d)
}

// forget says that what was said of a target was taken away, but for a label.
func (m *model) forget(s *step, at, t int) {
	g := &s.history
	g.awaited[at][t], g.skipped[at][t] = empty, empty
	for d := uint8(1); d <= digests; d++ {
		if !m.approves(s.objects[at].labels, d) {
			g.approved[at][t] &^= 1 << d
		}
	}
}

// approvals ends those of digests that are proven now, or rejected.
func (m *model) approvals(s *step, at, t int, got answer) {
	o, g := &s.objects[at], &s.history
	record := m.core.recordOf(got.texts, t)
	for d := uint8(1); d <= digests; d++ {
		_, rejected := record.State.Rejection(contentOf[d])
		proven := m.together(o, t) == d && o.rollout == settled && !o.zero && record.Recorded.Is(digestOf[d]) && record.State.Attempt == nil
		if (rejected || proven) && !m.approves(got.labels, d) {
			g.approved[at][t] &^= 1 << d
			if g.awaited[at][t] == d {
				g.awaited[at][t] = empty
			}
		}
	}
}

// chosen checks a patch against what persons have said.
func (m *model) chosen(s *step, at, t int, before annotate.Record, digest uint8, restoring bool) {
	if restoring {
		digest = numberOf(annotate.Of(before.State.Attempted()))
	}
	g := &s.history
	s.require(!m.notify || g.approved[at][t].has(digest), "in notify nothing is put anywhere, or taken back, that no person has approved")
	s.require(restoring || digest != g.skipped[at][t] || m.together(&s.objects[at], t) == empty, "what a person has skipped is put nowhere until the tag moves")
}
