package docs

import (
	"fmt"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemaFile is the schema of version 1.
const schemaFile = "docs/schema/result-v1.json"

var schema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	text, err := read(schemaFile)
	if err != nil {
		return nil, err
	}
	parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", schemaFile, err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource(schemaFile, parsed); err != nil {
		return nil, fmt.Errorf("%s: %w", schemaFile, err)
	}
	return compiler.Compile(schemaFile)
})

// Result says whether what a tick, a plan or a check printed with -o json is as the schema says.
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
