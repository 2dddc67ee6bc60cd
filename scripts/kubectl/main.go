// kubectl as its maintainers publish it in k8s.io/kubectl, for machines that
// have none or one of before 1.27, which needs a document that no newer client
// reads. The pins are in go.sum.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
)

func main() {
	os.Exit(cli.Run(cmd.NewDefaultKubectlCommand()))
}
