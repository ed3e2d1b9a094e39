package result

import "io"

// Format is how a result is printed.
type Format string

// The formats. Values and Patch are of a plan alone.
const (
	Table  Format = "table"
	Wide   Format = "wide" // a table with more columns
	JSON   Format = "json"
	Values Format = "values" // a values file for Helm
	Patch  Format = "patch"  // strategic merge patches
)

// Print prints the result. Where nothing could be planned there is nothing to commit, and nothing is printed: an empty
// file would be taken for one that names no digest.
func (r Report) Print(out io.Writer, format Format, style Style) error {
	switch {
	case format == Table, format == Wide:
		return r.WriteTable(out, style, format == Wide)
	case format == JSON:
		return r.WriteJSON(out)
	case len(r.Targets) == 0:
		return nil
	case format == Patch:
		return r.Desired.WritePatches(out)
	default:
		return r.Desired.WriteValues(out)
	}
}

// LeftOut says, in a sentence a slot, what a format leaves out and why.
func (r Report) LeftOut(format Format) []string {
	if format != Values && format != Patch {
		return nil
	}
	var said []string
	for _, slot := range r.Desired.Unknown {
		said = append(said, slot+" is left out: it is not known what it should hold")
	}
	if format == Values && len(r.Targets) > 0 {
		for _, slot := range r.Desired.Unnamed {
			said = append(said, slot+" is left out: name the chart's value in its helmValue")
		}
	}
	return said
}
