// Secrets Manager, IAM and STS through aws-sdk-go-v2, unmodified; conformance/README.md says what a line means.
// Endpoint, region and keys come from the environment alone.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
)

var ctx = context.Background()
var client = newClient()

// newClient is what every Go program has, with what a case changes of it.
func newClient(changes ...func(*sm.Options)) *sm.Client {
	loaded := must(config.LoadDefaultConfig(ctx))
	return sm.NewFromConfig(loaded, changes...)
}

func withKeys(id, secret string) func(*sm.Options) {
	return func(options *sm.Options) {
		options.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, nil
		})
	}
}

// failure is what a case panics with.
type failure string

func failf(format string, arguments ...any) { panic(failure(fmt.Sprintf(format, arguments...))) }

func must[T any](value T, err error) T {
	if err != nil {
		failf("refused: %v", err)
	}
	return value
}

func equal[T any](got, wanted T) {
	if !reflect.DeepEqual(got, wanted) {
		failf("%#v instead of %#v", got, wanted)
	}
}

// refused: as this type of the SDK's own.
func refused[E error](_ any, err error) {
	var typed E
	if !errors.As(err, &typed) {
		failf("%T was expected: %v", typed, err)
	}
}

// refusedAs: under this code, for what the service model does not list.
func refusedAs(code string, _ any, err error) {
	var typed smithy.APIError
	if !errors.As(err, &typed) || typed.ErrorCode() != code {
		failf("%s was expected: %v", code, err)
	}
}

// deniedFor: for want of this action.
func deniedFor(action string) func(any, error) {
	return func(_ any, err error) {
		var typed smithy.APIError
		if !errors.As(err, &typed) || typed.ErrorCode() != "AccessDeniedException" {
			failf("AccessDeniedException was expected: %v", err)
		}
		words := "because no identity-based policy allows the " + action + " action"
		if !strings.HasSuffix(typed.ErrorMessage(), words) {
			failf("%s", typed.ErrorMessage())
		}
	}
}

func token() string {
	random := make([]byte, 16)
	must(rand.Read(random))
	return fmt.Sprintf("%x-%x-%x-%x-%x", random[:4], random[4:6], random[6:8], random[8:10], random[10:])
}

func unique() string { return "go/" + token() }

func create(name, value string) *sm.CreateSecretOutput {
	return must(client.CreateSecret(ctx, &sm.CreateSecretInput{Name: &name, SecretString: &value}))
}

func get(name string) (*sm.GetSecretValueOutput, error) {
	return client.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: &name})
}

func life() {
	name, first, second := unique(), token(), token()
	made := must(client.CreateSecret(ctx, &sm.CreateSecretInput{
		Name: &name, Description: aws.String("of the database"), SecretString: aws.String("one"),
		ClientRequestToken: &first, Tags: []types.Tag{{Key: aws.String("stage"), Value: aws.String("test")}},
	}))
	equal(*made.Name, name)
	equal(*made.VersionId, first)
	read := must(get(name))
	equal(*read.SecretString, "one")
	equal(read.SecretBinary, nil)
	equal(read.VersionStages, []string{"AWSCURRENT"})
	if math.Abs(time.Since(*read.CreatedDate).Seconds()) > 60 {
		failf("created %v", read.CreatedDate)
	}
	put := must(client.PutSecretValue(ctx, &sm.PutSecretValueInput{
		SecretId: made.ARN, SecretString: aws.String("two"), ClientRequestToken: &second,
	}))
	equal(put.VersionStages, []string{"AWSCURRENT"})
	read = must(client.GetSecretValue(ctx, &sm.GetSecretValueInput{
		SecretId: &name, VersionStage: aws.String("AWSPREVIOUS"),
	}))
	equal(*read.SecretString, "one")
	described := must(client.DescribeSecret(ctx, &sm.DescribeSecretInput{SecretId: &name}))
	equal(*described.Description, "of the database")
	equal(described.VersionIdsToStages, map[string][]string{first: {"AWSPREVIOUS"}, second: {"AWSCURRENT"}})
	equal(len(described.Tags), 1)
	equal(*described.Tags[0].Key, "stage")
	equal(described.DeletedDate, nil)
}

func stages() {
	name, first, second := unique(), token(), token()
	must(client.CreateSecret(ctx, &sm.CreateSecretInput{
		Name: &name, SecretString: aws.String("one"), ClientRequestToken: &first,
	}))
	must(client.PutSecretValue(ctx, &sm.PutSecretValueInput{
		SecretId: &name, SecretString: aws.String("two"), ClientRequestToken: &second,
		VersionStages: []string{"AWSPENDING"},
	}))
	must(client.UpdateSecretVersionStage(ctx, &sm.UpdateSecretVersionStageInput{
		SecretId: &name, VersionStage: aws.String("AWSCURRENT"), MoveToVersionId: &second, RemoveFromVersionId: &first,
	}))
	equal(*must(get(name)).VersionId, second)
	seen := map[string]bool{}
	pages := sm.NewListSecretVersionIdsPaginator(client, &sm.ListSecretVersionIdsInput{
		SecretId: &name, MaxResults: aws.Int32(1),
	})
	for pages.HasMorePages() {
		for _, version := range must(pages.NextPage(ctx)).Versions {
			seen[*version.VersionId] = true
		}
	}
	equal(seen, map[string]bool{first: true, second: true})
}

func deletion() {
	name := unique()
	create(name, "one")
	deleted := must(client.DeleteSecret(ctx, &sm.DeleteSecretInput{SecretId: &name, RecoveryWindowInDays: aws.Int64(7)}))
	if days := time.Until(*deleted.DeletionDate).Hours() / 24; days < 6.9 || days > 7.1 {
		failf("in %f days", days)
	}
	refused[*types.InvalidRequestException](get(name))
	must(client.RestoreSecret(ctx, &sm.RestoreSecretInput{SecretId: &name}))
	equal(*must(get(name)).SecretString, "one")
	must(client.DeleteSecret(ctx, &sm.DeleteSecretInput{
		SecretId: &name, ForceDeleteWithoutRecovery: aws.Bool(true),
	}))
	refused[*types.ResourceNotFoundException](get(name))
}

func paginator() {
	prefix := unique()
	names := []string{}
	for _, end := range []string{"a", "b", "c", "d", "e"} {
		names = append(names, prefix+"/"+end)
		must(client.CreateSecret(ctx, &sm.CreateSecretInput{Name: aws.String(prefix + "/" + end)}))
	}
	listed := map[string]bool{}
	pages := sm.NewListSecretsPaginator(client, &sm.ListSecretsInput{MaxResults: aws.Int32(2)})
	for pages.HasMorePages() {
		page := must(pages.NextPage(ctx))
		if len(page.SecretList) > 2 {
			failf("a page of %d", len(page.SecretList))
		}
		for _, secret := range page.SecretList {
			if strings.HasPrefix(*secret.Name, prefix) {
				listed[*secret.Name] = true
			}
		}
	}
	equal(slices.Sorted(maps.Keys(listed)), names)
}

func binary() {
	name := unique()
	value := make([]byte, 256)
	for each := range value {
		value[each] = byte(each)
	}
	must(client.CreateSecret(ctx, &sm.CreateSecretInput{Name: &name, SecretBinary: value}))
	read := must(get(name))
	if !bytes.Equal(read.SecretBinary, value) || read.SecretString != nil {
		failf("%v", read.SecretBinary)
	}
}

func size() {
	name, value := unique(), strings.Repeat("x", 65_536)
	create(name, value)
	equal(*must(get(name)).SecretString, value)
	answer, err := client.PutSecretValue(ctx, &sm.PutSecretValueInput{SecretId: &name, SecretString: aws.String(value + "x")})
	refusedAs("ValidationException", answer, err)
}

func unicode() {
	name, text := unique(), "pässwörd 密码 🔑 \u0000 \u2028 \"\\\n"
	must(client.CreateSecret(ctx, &sm.CreateSecretInput{
		Name: &name, SecretString: &text, Description: aws.String("ключ 🔑"),
	}))
	equal(*must(get(name)).SecretString, text)
	equal(*must(client.DescribeSecret(ctx, &sm.DescribeSecretInput{SecretId: &name})).Description, "ключ 🔑")
}

func exceptions() {
	name := unique()
	refused[*types.ResourceNotFoundException](get(name))
	create(name, "one")
	refused[*types.ResourceExistsException](client.CreateSecret(ctx, &sm.CreateSecretInput{
		Name: &name, SecretString: aws.String("two"),
	}))
	refused[*types.InvalidParameterException](client.DeleteSecret(ctx, &sm.DeleteSecretInput{
		SecretId: &name, RecoveryWindowInDays: aws.Int64(6),
	}))
	must(client.DeleteSecret(ctx, &sm.DeleteSecretInput{SecretId: &name}))
	refused[*types.InvalidRequestException](client.PutSecretValue(ctx, &sm.PutSecretValueInput{
		SecretId: &name, SecretString: aws.String("two"),
	}))
}

func denied() {
	answer, err := newClient(withKeys("nobody", "nobody")).
		GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: aws.String(unique())})
	refusedAs("AccessDeniedException", answer, err)
}

func wrongKey() {
	answer, err := newClient(withKeys(os.Getenv("AWS_ACCESS_KEY_ID"), "wrong")).ListSecrets(ctx, &sm.ListSecretsInput{})
	refusedAs("InvalidSignatureException", answer, err)
}

func tokenAgain() {
	name, token := unique(), token()
	input := sm.CreateSecretInput{Name: &name, SecretString: aws.String("one"), ClientRequestToken: &token}
	first, second := must(client.CreateSecret(ctx, &input)), must(client.CreateSecret(ctx, &input))
	equal(*second.ARN, *first.ARN)
	equal(*second.VersionId, *first.VersionId)
	input.SecretString = aws.String("two")
	refused[*types.ResourceExistsException](client.CreateSecret(ctx, &input))
}

func lostAnswer() {
	name := unique()
	losing := newClient(func(options *sm.Options) { options.BaseEndpoint = aws.String(os.Getenv("COFFER_LOSING_URL")) })
	attempts := func(metadata middleware.Metadata) int {
		results, _ := retry.GetAttemptResults(metadata)
		return len(results.Results)
	}
	made := must(losing.CreateSecret(ctx, &sm.CreateSecretInput{Name: &name, SecretString: aws.String("one")}))
	equal(attempts(made.ResultMetadata), 2)
	put := must(losing.PutSecretValue(ctx, &sm.PutSecretValueInput{SecretId: &name, SecretString: aws.String("two")}))
	equal(attempts(put.ResultMetadata), 2)
	versions := must(client.ListSecretVersionIds(ctx, &sm.ListSecretVersionIdsInput{SecretId: &name})).Versions
	equal(len(versions), 2)
}

func update() {
	name, token := unique(), token()
	made := create(name, "one")
	described := must(client.UpdateSecret(ctx, &sm.UpdateSecretInput{SecretId: &name, Description: aws.String("after")}))
	equal(*described.ARN, *made.ARN)
	equal(described.VersionId, nil)
	updated := must(client.UpdateSecret(ctx, &sm.UpdateSecretInput{
		SecretId: &name, SecretString: aws.String("two"), ClientRequestToken: &token,
	}))
	equal(*updated.VersionId, token)
	equal(*must(get(name)).SecretString, "two")
	equal(*must(client.DescribeSecret(ctx, &sm.DescribeSecretInput{SecretId: &name})).Description, "after")
}

func tags() {
	name := unique()
	tag := func(key, value string) types.Tag { return types.Tag{Key: &key, Value: &value} }
	must(client.CreateSecret(ctx, &sm.CreateSecretInput{Name: &name, Tags: []types.Tag{tag("a", "1")}}))
	must(client.TagResource(ctx, &sm.TagResourceInput{SecretId: &name, Tags: []types.Tag{tag("b", "2")}}))
	must(client.UntagResource(ctx, &sm.UntagResourceInput{SecretId: &name, TagKeys: []string{"a", "absent"}}))
	equal(must(client.DescribeSecret(ctx, &sm.DescribeSecretInput{SecretId: &name})).Tags, []types.Tag{tag("b", "2")})
}

func randomPassword() {
	made := must(client.GetRandomPassword(ctx, &sm.GetRandomPasswordInput{
		PasswordLength: aws.Int64(40), ExcludePunctuation: aws.Bool(true), ExcludeUppercase: aws.Bool(true),
	}))
	password := *made.RandomPassword
	if len(password) != 40 || strings.Trim(password, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		failf("%d characters, or others than asked for", len(password))
	}
	refused[*types.InvalidParameterException](client.GetRandomPassword(ctx, &sm.GetRandomPasswordInput{
		PasswordLength: aws.Int64(3), RequireEachIncludedType: aws.Bool(true),
	}))
}

func batch() {
	text, binary, missing := unique(), unique(), unique()
	create(text, "one")
	must(client.CreateSecret(ctx, &sm.CreateSecretInput{Name: &binary, SecretBinary: []byte{0, 255}}))
	answer := must(client.BatchGetSecretValue(ctx, &sm.BatchGetSecretValueInput{
		SecretIdList: []string{text, missing, binary},
	}))
	found := map[string]types.SecretValueEntry{}
	for _, value := range answer.SecretValues {
		found[*value.Name] = value
	}
	equal(len(found), 2)
	equal(*found[text].SecretString, "one")
	equal(found[binary].SecretBinary, []byte{0, 255})
	equal(len(answer.Errors), 1)
	equal(*answer.Errors[0].SecretId, missing)
	equal(*answer.Errors[0].ErrorCode, "ResourceNotFoundException")
}

func filters() {
	prefix := unique()
	for _, end := range []string{"a", "b", "c"} {
		must(client.CreateSecret(ctx, &sm.CreateSecretInput{
			Name: aws.String(prefix + "/" + end), Tags: []types.Tag{{Key: aws.String("end"), Value: aws.String(end)}},
		}))
	}
	names := []string{}
	pages := sm.NewListSecretsPaginator(client, &sm.ListSecretsInput{
		Filters: []types.Filter{
			{Key: types.FilterNameStringTypeName, Values: []string{prefix}},
			{Key: types.FilterNameStringTypeTagValue, Values: []string{"a", "c"}},
		},
		SortBy: types.SortByTypeName, SortOrder: types.SortOrderTypeAsc, MaxResults: aws.Int32(1),
	})
	for pages.HasMorePages() {
		for _, secret := range must(pages.NextPage(ctx)).SecretList {
			names = append(names, *secret.Name)
		}
	}
	equal(names, []string{prefix + "/a", prefix + "/c"})
}

var cases = []struct {
	name string
	run  func()
}{
	{"a secret's life", life},
	{"versions and stages", stages},
	{"deletion, restoring, deletion for good", deletion},
	{"lists by its paginator", paginator},
	{"every byte in a binary value", binary},
	{"65,536 bytes and one more", size},
	{"unicode in a value and a description", unicode},
	{"typed exceptions", exceptions},
	{"a caller without a policy is denied", denied},
	{"a wrong secret key", wrongKey},
	{"a token sent again", tokenAgain},
	{"a lost answer is asked for again", lostAnswer},
	{"a description and a value updated", update},
	{"tags put on and taken off", tags},
	{"a random password", randomPassword},
	{"many values at once", batch},
	{"a list with filters", filters},
	{"a plan's role reads its three prefixes and nothing else", planned},
	{"a ticket's policy reads by tag, and cannot tag its way in", ticketed},
	{"what the policy simulator answers is what happens", simulated},
}

func run(name string, body func()) (ok bool) {
	defer func() {
		if why := recover(); why != nil {
			fmt.Printf("not ok %s: %s\n", name, strings.ReplaceAll(fmt.Sprint(why), "\n", " | "))
		}
	}()
	body()
	fmt.Printf("ok %s\n", name)
	return true
}

func main() {
	failed := false
	for _, each := range cases {
		failed = !run(each.name, each.run) || failed
	}
	if failed {
		os.Exit(1)
	}
}
