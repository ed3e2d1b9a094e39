package workload

// Labelled is what a workload carries for people and programs, and nothing of what it is.
type Labelled struct {
	Ref
	Labels, Annotations map[string]string
}
