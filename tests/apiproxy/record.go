package apiproxy

// Requests returns what was recorded and matches, in the order of arrival; a
// nil matcher is any. What is under way has status 0.
func (p *Proxy) Requests(match Matcher) []Request { return p.Recorded(match) }

// Writes returns the recorded requests that change an object, Events left out.
func (p *Proxy) Writes() []Request {
	return p.Requests(func(r Request) bool { return r.IsWrite() && !r.IsEvent() })
}

// Reads returns the recorded requests that read a resource.
func (p *Proxy) Reads() []Request {
	return p.Requests(func(r Request) bool { return !r.IsWrite() && r.Resource != "" })
}
