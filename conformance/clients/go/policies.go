package main

import (
	"context"
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

const (
	getAction      = "secretsmanager:GetSecretValue"
	describeAction = "secretsmanager:DescribeSecret"
	putAction      = "secretsmanager:PutSecretValue"
)

// object is what a policy is made of.
type object = map[string]any

func policy(statements ...object) *string {
	document := must(json.Marshal(object{"Version": "2012-10-17", "Statement": statements}))
	return aws.String(string(document))
}

func access() *iam.Client { return iam.NewFromConfig(must(config.LoadDefaultConfig(ctx))) }

func with(credentials aws.Credentials) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return credentials, nil })
}

// newUser has these statements: its ARN and keys.
func newUser(statements ...object) (*string, aws.Credentials) {
	name := aws.String("go-" + token())
	made := must(access().CreateUser(ctx, &iam.CreateUserInput{UserName: name}))
	if len(statements) > 0 {
		must(access().PutUserPolicy(ctx, &iam.PutUserPolicyInput{
			UserName: name, PolicyName: aws.String("own"), PolicyDocument: policy(statements...),
		}))
	}
	key := must(access().CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: name})).AccessKey
	return made.User.Arn, aws.Credentials{AccessKeyID: *key.AccessKeyId, SecretAccessKey: *key.SecretAccessKey}
}

// sessionWith is of a role that has this managed policy, taken on by a user whom the role trusts.
func sessionWith(document *string) *sm.Client {
	user, keys := newUser()
	name := aws.String("role-" + token())
	trust := object{"Effect": "Allow", "Principal": object{"AWS": *user}, "Action": "sts:AssumeRole"}
	role := must(access().CreateRole(ctx, &iam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: policy(trust)}))
	managed := must(access().CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: name, PolicyDocument: document}))
	must(access().AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: name, PolicyArn: managed.Policy.Arn}))
	caller := sts.NewFromConfig(must(config.LoadDefaultConfig(ctx)), func(options *sts.Options) {
		options.Credentials = with(keys)
	})
	assumed := must(caller.AssumeRole(ctx, &sts.AssumeRoleInput{
		RoleArn: role.Role.Arn, RoleSessionName: aws.String("agent"),
	})).Credentials
	return clientWith(aws.Credentials{
		AccessKeyID:     *assumed.AccessKeyId,
		SecretAccessKey: *assumed.SecretAccessKey,
		SessionToken:    *assumed.SessionToken,
	})
}

func clientWith(credentials aws.Credentials) *sm.Client {
	return newClient(func(options *sm.Options) { options.Credentials = with(credentials) })
}

func read(session *sm.Client, name string) (*sm.GetSecretValueOutput, error) {
	return session.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: &name})
}

func put(session *sm.Client, name string) (*sm.PutSecretValueOutput, error) {
	return session.PutSecretValue(ctx, &sm.PutSecretValueInput{SecretId: &name, SecretString: aws.String("w")})
}

func planned() {
	prefix := unique()
	resources := []string{}
	for _, part := range []string{"twitter", "coingecko", "glassnode"} {
		resources = append(resources, "arn:aws:secretsmanager:us-east-1:*:secret:"+prefix+"/"+part+"/*")
	}
	session := sessionWith(policy(
		object{"Effect": "Allow", "Action": []string{getAction, describeAction}, "Resource": resources},
		object{
			"Effect": "Allow", "Action": []string{"kms:Decrypt", "kms:DescribeKey"},
			"Resource":  "arn:aws:kms:us-east-1:*:key/*",
			"Condition": object{"StringEquals": object{"kms:ViaService": "secretsmanager.us-east-1.amazonaws.com"}},
		},
	))
	mine, other := prefix+"/twitter/credentials", prefix+"/twitter-archive/old"
	create(mine, "{}")
	create(other, "{}")
	equal(*must(read(session, mine)).SecretString, "{}")
	equal(*must(session.DescribeSecret(ctx, &sm.DescribeSecretInput{SecretId: &mine})).Name, mine)
	deniedFor(getAction)(read(session, other))
	deniedFor(putAction)(put(session, mine))
	deniedFor("secretsmanager:DeleteSecret")(session.DeleteSecret(ctx, &sm.DeleteSecretInput{SecretId: &mine}))
	deniedFor("secretsmanager:ListSecrets")(session.ListSecrets(ctx, &sm.ListSecretsInput{}))
}

func ticketed() {
	name := unique() + "/api-credentials"
	session := sessionWith(policy(object{
		"Effect": "Allow", "Action": []string{getAction, describeAction},
		"Resource":  "arn:aws:secretsmanager:us-east-1:*:secret:" + name + "-??????",
		"Condition": object{"StringEquals": object{"secretsmanager:ResourceTag/Project": "Signal9Advisor"}},
	}))
	project := func(value string) []types.Tag {
		return []types.Tag{{Key: aws.String("Project"), Value: &value}}
	}
	must(client.CreateSecret(ctx, &sm.CreateSecretInput{Name: &name, SecretString: aws.String("{}"), Tags: project("Other")}))
	deniedFor(getAction)(read(session, name))
	tag := &sm.TagResourceInput{SecretId: &name, Tags: project("Signal9Advisor")}
	deniedFor("secretsmanager:TagResource")(session.TagResource(ctx, tag))
	must(client.TagResource(ctx, tag))
	equal(*must(read(session, name)).SecretString, "{}")
	must(client.UntagResource(ctx, &sm.UntagResourceInput{SecretId: &name, TagKeys: []string{"Project"}}))
	deniedFor(getAction)(read(session, name))
}

func simulated() {
	name := unique()
	arn := *create(name, "v").ARN
	user, keys := newUser(object{"Effect": "Allow", "Action": getAction, "Resource": arn})
	results := must(access().SimulatePrincipalPolicy(ctx, &iam.SimulatePrincipalPolicyInput{
		PolicySourceArn: user, ActionNames: []string{getAction, putAction}, ResourceArns: []string{arn},
	})).EvaluationResults
	decisions := []string{}
	for _, result := range results {
		decisions = append(decisions, *result.EvalActionName+" "+string(result.EvalDecision))
	}
	equal(decisions, []string{getAction + " allowed", putAction + " implicitDeny"})
	equal(*results[0].MatchedStatements[0].SourcePolicyId, "own")
	reader := clientWith(keys)
	equal(*must(read(reader, name)).SecretString, "v")
	deniedFor(putAction)(put(reader, name))
}
