import java.net.URI;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicInteger;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.core.interceptor.Context;
import software.amazon.awssdk.core.interceptor.ExecutionAttributes;
import software.amazon.awssdk.core.interceptor.ExecutionInterceptor;
import software.amazon.awssdk.services.secretsmanager.SecretsManagerClient;
import software.amazon.awssdk.services.secretsmanager.model.CreateSecretRequest;
import software.amazon.awssdk.services.secretsmanager.model.FilterNameStringType;
import software.amazon.awssdk.services.secretsmanager.model.GetSecretValueResponse;
import software.amazon.awssdk.services.secretsmanager.model.InvalidParameterException;
import software.amazon.awssdk.services.secretsmanager.model.InvalidRequestException;
import software.amazon.awssdk.services.secretsmanager.model.ResourceExistsException;
import software.amazon.awssdk.services.secretsmanager.model.ResourceNotFoundException;
import software.amazon.awssdk.services.secretsmanager.model.SecretListEntry;
import software.amazon.awssdk.services.secretsmanager.model.SecretValueEntry;
import software.amazon.awssdk.services.secretsmanager.model.SecretVersionsListEntry;
import software.amazon.awssdk.services.secretsmanager.model.SecretsManagerException;
import software.amazon.awssdk.services.secretsmanager.model.SortByType;
import software.amazon.awssdk.services.secretsmanager.model.SortOrderType;
import software.amazon.awssdk.services.secretsmanager.model.Tag;

/**
 * Secrets Manager through the AWS SDK for Java 2, unmodified; conformance/README.md says what a line means. Endpoint,
 * region and keys come from the environment alone.
 */
public final class Cases {
    private static final SecretsManagerClient CLIENT = SecretsManagerClient.create();
    private static final Map<String, Runnable> CASES = new LinkedHashMap<>();

    static {
        CASES.put("a secret's life", Cases::life);
        CASES.put("versions and stages", Cases::stages);
        CASES.put("deletion, restoring, deletion for good", Cases::deletion);
        CASES.put("lists by its paginator", Cases::paginator);
        CASES.put("every byte in a binary value", Cases::binary);
        CASES.put("65,536 bytes and one more", Cases::size);
        CASES.put("unicode in a value and a description", Cases::unicode);
        CASES.put("typed exceptions", Cases::exceptions);
        CASES.put("a caller without a policy is denied", Cases::denied);
        CASES.put("a wrong secret key", Cases::wrongKey);
        CASES.put("a token sent again", Cases::tokenAgain);
        CASES.put("a lost answer is asked for again", Cases::lostAnswer);
        CASES.put("a description and a value updated", Cases::update);
        CASES.put("tags put on and taken off", Cases::tags);
        CASES.put("a random password", Cases::randomPassword);
        CASES.put("many values at once", Cases::batch);
        CASES.put("a list with filters", Cases::filters);
    }

    private static void life() {
        String name = unique();
        String first = token();
        String second = token();
        var made = CLIENT.createSecret(request -> request.name(name).description("of the database")
            .secretString("one").clientRequestToken(first).tags(tag -> tag.key("stage").value("test")));
        equal(made.name(), name);
        equal(made.versionId(), first);
        var read = get(name);
        equal(read.secretString(), "one");
        equal(read.secretBinary(), null);
        equal(read.versionStages(), List.of("AWSCURRENT"));
        var age = Duration.between(read.createdDate(), Instant.now()).abs();
        check(age.compareTo(Duration.ofMinutes(1)) < 0, "created " + read.createdDate());
        var put = CLIENT.putSecretValue(request -> request.secretId(made.arn()).secretString("two")
            .clientRequestToken(second));
        equal(put.versionStages(), List.of("AWSCURRENT"));
        equal(CLIENT.getSecretValue(request -> request.secretId(name).versionStage("AWSPREVIOUS")).secretString(), "one");
        var described = CLIENT.describeSecret(request -> request.secretId(name));
        equal(described.description(), "of the database");
        equal(described.versionIdsToStages(), Map.of(first, List.of("AWSPREVIOUS"), second, List.of("AWSCURRENT")));
        equal(described.tags().get(0).key(), "stage");
        equal(described.deletedDate(), null);
    }

    private static void stages() {
        String name = unique();
        String first = token();
        String second = token();
        CLIENT.createSecret(request -> request.name(name).secretString("one").clientRequestToken(first));
        CLIENT.putSecretValue(request -> request.secretId(name).secretString("two").clientRequestToken(second)
            .versionStages("AWSPENDING"));
        CLIENT.updateSecretVersionStage(request -> request.secretId(name).versionStage("AWSCURRENT")
            .moveToVersionId(second).removeFromVersionId(first));
        equal(get(name).versionId(), second);
        Set<String> seen = new TreeSet<>();
        for (var page : CLIENT.listSecretVersionIdsPaginator(request -> request.secretId(name).maxResults(1))) {
            page.versions().stream().map(SecretVersionsListEntry::versionId).forEach(seen::add);
        }
        equal(seen, Set.of(first, second));
    }

    private static void deletion() {
        String name = unique();
        create(name, "one");
        var deleted = CLIENT.deleteSecret(request -> request.secretId(name).recoveryWindowInDays(7L));
        double days = Duration.between(Instant.now(), deleted.deletionDate()).toMinutes() / 1440.0;
        check(days > 6.9 && days < 7.1, "in " + days + " days");
        refused(InvalidRequestException.class, "InvalidRequestException", () -> get(name));
        CLIENT.restoreSecret(request -> request.secretId(name));
        equal(get(name).secretString(), "one");
        CLIENT.deleteSecret(request -> request.secretId(name).forceDeleteWithoutRecovery(true));
        refused(ResourceNotFoundException.class, "ResourceNotFoundException", () -> get(name));
    }

    private static void paginator() {
        String prefix = unique();
        List<String> names = List.of(prefix + "/a", prefix + "/b", prefix + "/c", prefix + "/d", prefix + "/e");
        names.forEach(name -> CLIENT.createSecret(request -> request.name(name)));
        List<String> listed = new ArrayList<>();
        for (var page : CLIENT.listSecretsPaginator(request -> request.maxResults(2))) {
            check(page.secretList().size() <= 2, "a page of " + page.secretList().size());
            page.secretList().stream().map(SecretListEntry::name).filter(name -> name.startsWith(prefix))
                .forEach(listed::add);
        }
        equal(listed.stream().sorted().toList(), names);
    }

    private static void binary() {
        String name = unique();
        byte[] value = new byte[256];
        for (int each = 0; each < value.length; each++) {
            value[each] = (byte) each;
        }
        CLIENT.createSecret(request -> request.name(name).secretBinary(SdkBytes.fromByteArray(value)));
        equal(get(name).secretBinary(), SdkBytes.fromByteArray(value));
        equal(get(name).secretString(), null);
    }

    private static void size() {
        String name = unique();
        String value = "x".repeat(65_536);
        create(name, value);
        equal(get(name).secretString(), value);
        refused(SecretsManagerException.class, "ValidationException",
            () -> CLIENT.putSecretValue(request -> request.secretId(name).secretString(value + "x")));
    }

    private static void unicode() {
        String name = unique();
        String text = "pässwörd 密码 🔑 \0 \u2028 \"\\\n";
        CLIENT.createSecret(request -> request.name(name).secretString(text).description("ключ 🔑"));
        equal(get(name).secretString(), text);
        equal(CLIENT.describeSecret(request -> request.secretId(name)).description(), "ключ 🔑");
    }

    private static void exceptions() {
        String name = unique();
        refused(ResourceNotFoundException.class, "ResourceNotFoundException", () -> get(name));
        create(name, "one");
        refused(ResourceExistsException.class, "ResourceExistsException", () -> create(name, "two"));
        refused(InvalidParameterException.class, "InvalidParameterException",
            () -> CLIENT.deleteSecret(request -> request.secretId(name).recoveryWindowInDays(6L)));
        CLIENT.deleteSecret(request -> request.secretId(name));
        refused(InvalidRequestException.class, "InvalidRequestException",
            () -> CLIENT.putSecretValue(request -> request.secretId(name).secretString("two")));
    }

    private static void denied() {
        try (var nobody = clientOf("nobody", "nobody")) {
            refused(SecretsManagerException.class, "AccessDeniedException",
                () -> nobody.getSecretValue(request -> request.secretId(unique())));
        }
    }

    private static void wrongKey() {
        try (var forger = clientOf(System.getenv("AWS_ACCESS_KEY_ID"), "wrong")) {
            refused(SecretsManagerException.class, "InvalidSignatureException", forger::listSecrets);
        }
    }

    private static void tokenAgain() {
        var request = CreateSecretRequest.builder().name(unique()).secretString("one").clientRequestToken(token());
        var first = CLIENT.createSecret(request.build());
        var second = CLIENT.createSecret(request.build());
        equal(second.arn(), first.arn());
        equal(second.versionId(), first.versionId());
        refused(ResourceExistsException.class, "ResourceExistsException",
            () -> CLIENT.createSecret(request.secretString("two").build()));
    }

    private static void lostAnswer() {
        String name = unique();
        AtomicInteger attempts = new AtomicInteger();
        ExecutionInterceptor counter = new ExecutionInterceptor() {
            @Override
            public void beforeTransmission(Context.BeforeTransmission context, ExecutionAttributes attributes) {
                attempts.incrementAndGet();
            }
        };
        try (var losing = SecretsManagerClient.builder()
                .endpointOverride(URI.create(System.getenv("COFFER_LOSING_URL")))
                .overrideConfiguration(overrides -> overrides.addExecutionInterceptor(counter)).build()) {
            var made = losing.createSecret(request -> request.name(name).secretString("one"));
            equal(attempts.get(), 2);
            var put = losing.putSecretValue(request -> request.secretId(name).secretString("two"));
            equal(attempts.get(), 4);
            Set<String> versions = new TreeSet<>();
            CLIENT.listSecretVersionIds(request -> request.secretId(name)).versions()
                .forEach(version -> versions.add(version.versionId()));
            equal(versions, Set.of(made.versionId(), put.versionId()));
        }
    }

    private static void update() {
        String name = unique();
        String token = token();
        var made = CLIENT.createSecret(request -> request.name(name).secretString("one").description("before"));
        var described = CLIENT.updateSecret(request -> request.secretId(name).description("after"));
        equal(described.arn(), made.arn());
        equal(described.versionId(), null);
        equal(CLIENT.updateSecret(request -> request.secretId(name).secretString("two").clientRequestToken(token))
            .versionId(), token);
        equal(get(name).secretString(), "two");
        equal(CLIENT.describeSecret(request -> request.secretId(name)).description(), "after");
    }

    private static void tags() {
        String name = unique();
        CLIENT.createSecret(request -> request.name(name).tags(tag -> tag.key("a").value("1")));
        CLIENT.tagResource(request -> request.secretId(name).tags(tag -> tag.key("b").value("2")));
        CLIENT.untagResource(request -> request.secretId(name).tagKeys("a", "absent"));
        equal(CLIENT.describeSecret(request -> request.secretId(name)).tags(),
            List.of(Tag.builder().key("b").value("2").build()));
    }

    private static void randomPassword() {
        String password = CLIENT.getRandomPassword(request -> request.passwordLength(40L).excludePunctuation(true)
            .excludeUppercase(true)).randomPassword();
        check(password.matches("[a-z0-9]{40}"), "another length, or other characters than asked for");
        refused(InvalidParameterException.class, "InvalidParameterException",
            () -> CLIENT.getRandomPassword(request -> request.passwordLength(3L).requireEachIncludedType(true)));
    }

    private static void batch() {
        String text = unique();
        String binary = unique();
        String missing = unique();
        create(text, "one");
        var bytes = SdkBytes.fromByteArray(new byte[] {0, (byte) 255});
        CLIENT.createSecret(request -> request.name(binary).secretBinary(bytes));
        var answer = CLIENT.batchGetSecretValue(request -> request.secretIdList(text, missing, binary));
        Map<String, SecretValueEntry> found = new LinkedHashMap<>();
        answer.secretValues().forEach(value -> found.put(value.name(), value));
        equal(found.keySet(), Set.of(text, binary));
        equal(found.get(text).secretString(), "one");
        equal(found.get(binary).secretBinary(), bytes);
        equal(answer.errors().size(), 1);
        equal(answer.errors().get(0).secretId(), missing);
        equal(answer.errors().get(0).errorCode(), "ResourceNotFoundException");
    }

    private static void filters() {
        String prefix = unique();
        for (String end : List.of("a", "b", "c")) {
            CLIENT.createSecret(request -> request.name(prefix + "/" + end).tags(tag -> tag.key("end").value(end)));
        }
        List<String> names = new ArrayList<>();
        CLIENT.listSecretsPaginator(request -> request
            .filters(filter -> filter.key(FilterNameStringType.NAME).values(prefix),
                filter -> filter.key(FilterNameStringType.TAG_VALUE).values("a", "c"))
            .sortBy(SortByType.NAME).sortOrder(SortOrderType.ASC).maxResults(1))
            .forEach(page -> page.secretList().forEach(secret -> names.add(secret.name())));
        equal(names, List.of(prefix + "/a", prefix + "/c"));
    }

    private static SecretsManagerClient clientOf(String accessKeyId, String secretAccessKey) {
        var keys = AwsBasicCredentials.create(accessKeyId, secretAccessKey);
        return SecretsManagerClient.builder().credentialsProvider(StaticCredentialsProvider.create(keys)).build();
    }

    private static String token() {
        return UUID.randomUUID().toString();
    }

    private static String unique() {
        return "java/" + token();
    }

    private static void create(String name, String value) {
        CLIENT.createSecret(request -> request.name(name).secretString(value));
    }

    private static GetSecretValueResponse get(String name) {
        return CLIENT.getSecretValue(request -> request.secretId(name));
    }

    private static void check(boolean holds, String otherwise) {
        if (!holds) {
            throw new AssertionError(otherwise);
        }
    }

    private static void equal(Object got, Object wanted) {
        check(Objects.equals(got, wanted), got + " instead of " + wanted);
    }

    private static void refused(Class<? extends SecretsManagerException> type, String code, Runnable call) {
        try {
            call.run();
        } catch (SecretsManagerException error) {
            check(type.isInstance(error), error + " is not a " + type.getSimpleName());
            equal(error.awsErrorDetails().errorCode(), code);
            equal(error.statusCode(), 400);
            check(error.requestId() != null, "no request id");
            return;
        }
        throw new AssertionError("answered; " + code + " was expected");
    }

    public static void main(String[] arguments) {
        boolean failed = false;
        for (var each : CASES.entrySet()) {
            try {
                each.getValue().run();
                System.out.println("ok " + each.getKey());
            } catch (RuntimeException | AssertionError error) {
                failed = true;
                System.out.println("not ok " + each.getKey() + ": " + error.toString().replace("\n", " | "));
            }
        }
        System.exit(failed ? 1 : 0);
    }
}
