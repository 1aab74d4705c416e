// cp for flannel's image: upstream's image has one, and the init container of its manifest copies the CNI configuration with it.
// Usage: cp [-f] SOURCE TARGET. The target is replaced in one step: a runtime that reads it never sees a part.
package main

import (
	"fmt"
	"os"
)

func main() {
	arguments := os.Args[1:]
	if len(arguments) > 0 && arguments[0] == "-f" {
		arguments = arguments[1:]
	}
	if len(arguments) != 2 {
		fmt.Fprintln(os.Stderr, "usage: cp [-f] SOURCE TARGET")
		os.Exit(2)
	}
	if err := replace(arguments[0], arguments[1]); err != nil {
		fmt.Fprintln(os.Stderr, "cp:", err)
		os.Exit(1)
	}
}

func replace(source, target string) error {
	content, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	partial := target + ".part"
	if err := os.WriteFile(partial, content, 0o644); err != nil {
		return err
	}
	return os.Rename(partial, target)
}
