// Calls the platform at the URL given, by the client that openapi-generator's template `go` has written.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	client "github.com/GIT_USER_ID/GIT_REPO_ID"
)

func check(right bool, told ...any) {
	if !right {
		fmt.Println(told...)
		os.Exit(1)
	}
}

func main() {
	background := context.Background()
	configuration := client.NewConfiguration()
	configuration.Servers = client.ServerConfigurations{{URL: os.Args[1]}}
	platform := client.NewAPIClient(configuration)

	texts := client.ArrayOfStringAsEmbeddingsRequestInput(&[]string{"a", "b"})
	asked := platform.OpenAIAPI.Embeddings(background).EmbeddingsRequest(*client.NewEmbeddingsRequest("minilm", texts))
	vectors, _, err := asked.Execute()
	check(err == nil, err)
	check(len(vectors.Data) == 2 && len(*vectors.Data[1].Embedding.ArrayOfFloat32) == 384, vectors)

	tensor := client.NewInferRequestInputsInner("x", "FP32", []int32{1, 4})
	tensor.SetData([]any{1, 2, 3, 4})
	request := client.NewInferRequest([]client.InferRequestInputsInner{*tensor})
	answer, _, err := platform.OpenInferenceProtocolAPI.Infer(background, "double").InferRequest(*request).Execute()
	check(err == nil, err)
	check(answer.Outputs[0].Data[3] == 8.0, answer.Outputs[0].Data)

	metadata, _, err := platform.OpenInferenceProtocolAPI.ModelMetadata(background, "double").Execute()
	check(err == nil, err)
	check(metadata.Inputs[0].Shape[1] == 4, metadata)

	_, _, err = platform.OpenInferenceProtocolAPI.Infer(background, "nothing").InferRequest(*request).Execute()
	refused, is := err.(*client.GenericOpenAPIError)
	check(is && strings.Contains(string(refused.Body()), "no model 'nothing'"), err)
}
