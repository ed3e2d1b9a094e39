package contract

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tracebloc/image-refresh/tests/components"
)

// schemaFile is the schema of version 1, from the repository's root.
const schemaFile = "docs/schema/result-v1.json"

// document reads a file of the documentation.
func document(name string) ([]byte, error) {
	tests, err := components.Root()
	if err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(filepath.Dir(tests), filepath.FromSlash(name)))
}

var schema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	text, err := document(schemaFile)
	if err != nil {
		return nil, err
	}
	parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", schemaFile, err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	if err := compiler.AddResource(schemaFile, parsed); err != nil {
		return nil, fmt.Errorf("%s: %w", schemaFile, err)
	}
	return compiler.Compile(schemaFile)
})

// Result says whether what a tick or a plan printed with -o json is as the
// schema says.
func Result(stdout string) error {
	compiled, err := schema()
	if err != nil {
		return err
	}
	report, err := jsonschema.UnmarshalJSON(strings.NewReader(stdout))
	if err != nil {
		return fmt.Errorf("the result is no JSON: %w", err)
	}
	if err := compiled.Validate(report); err != nil {
		return fmt.Errorf("the result is not as %s says: %w", schemaFile, err)
	}
	return nil
}
