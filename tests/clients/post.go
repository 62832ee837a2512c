// Posts a body in each of the ways of Go's client, over the connections that it keeps: URL BODY.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func main() {
	whole := func() io.Reader { return strings.NewReader(os.Args[2]) }
	chunked := func() io.Reader { return io.MultiReader(strings.NewReader(os.Args[2])) }
	for _, body := range []func() io.Reader{whole, whole, chunked} {
		for _, expect := range []string{"", "100-continue"} {
			request, err := http.NewRequest("POST", os.Args[1], body())
			if err != nil {
				panic(err)
			}
			if expect != "" {
				request.Header.Set("Expect", expect)
			}
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				panic(err)
			}
			text, _ := io.ReadAll(answer.Body)
			answer.Body.Close()
			fmt.Println(string(text))
		}
	}
}
