import edu.mit.csail.sdg.alloy4.A4Reporter;
import edu.mit.csail.sdg.ast.Command;
import edu.mit.csail.sdg.ast.Sig;
import edu.mit.csail.sdg.parser.CompModule;
import edu.mit.csail.sdg.parser.CompUtil;
import edu.mit.csail.sdg.translator.A4Options;
import edu.mit.csail.sdg.translator.A4Solution;
import edu.mit.csail.sdg.translator.A4Tuple;
import edu.mit.csail.sdg.translator.A4TupleSet;
import edu.mit.csail.sdg.translator.TranslateAlloyToKodkod;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Runs every command of Alloy models and compares what came out with its `expect`. Started by
 * `scripts/specs`; what it asks of a model beyond Alloy's own rules stands in specs/README.md.
 */
public class Runner {
    /** A command that takes longer has failed. */
    static final long COMMAND_SECONDS_MAX = 300;

    static final Pattern MARK =
            Pattern.compile("^\\s*-- mutant (\\w+) breaks (\\w+(?: \\w+)*)(?::(.*))?$");
    static final Pattern PRED = Pattern.compile("^\\s*pred (\\w+).*");
    static final Pattern OPEN = Pattern.compile("^open (\\w+/\\w+)$");
    static final String MORE = "--  ";
    static final String TRACE = "-- trace";

    /** A file of a model. */
    record Part(Path path, List<String> lines) {}

    /** A line of a model that is left out, or replaced, and the checks that must notice. */
    record Mutant(String name, Part part, int line, List<String> breaks, String replacement) {}

    private final A4Options options = new A4Options();
    private final ExecutorService solver =
            Executors.newSingleThreadExecutor(
                    task -> {
                        Thread thread = new Thread(task);
                        thread.setDaemon(true);
                        return thread;
                    });
    private int failures = 0;
    private int done = 0;
    private boolean isShown = false;

    public static void main(String[] arguments) throws Exception {
        boolean mutants = false;
        Path traces = null;
        String only = null;
        String engine = "glucose";
        List<Path> files = new ArrayList<>();
        for (int i = 0; i < arguments.length; i++) {
            switch (arguments[i]) {
                case "--mutants" -> mutants = true;
                case "--traces" -> traces = Path.of(arguments[++i]);
                case "--only" -> only = arguments[++i];
                case "--solver" -> engine = arguments[++i];
                default -> files.add(Path.of(arguments[i]));
            }
        }
        Runner runner = new Runner();
        runner.isShown = only != null && !mutants;
        runner.options.solver =
                engine.equals("sat4j")
                        ? A4Options.SatSolver.SAT4J
                        : A4Options.SatSolver.GlucoseJNI;
        long start = System.currentTimeMillis();
        for (Path file : files) {
            try {
                runner.model(file, mutants, traces, only);
            } catch (Exception error) {
                runner.fail(file.getFileName().toString(), error.toString());
            }
        }
        System.out.printf(
                "%d as expected, %d not, %d ms%n",
                runner.done - runner.failures,
                runner.failures,
                System.currentTimeMillis() - start);
        // Nothing at all must not look like success.
        System.exit(runner.failures == 0 && runner.done > 0 ? 0 : 1);
    }

    private void model(Path file, boolean mutants, Path traces, String only) throws Exception {
        List<Part> parts = parts(file);
        List<Mutant> marked = new ArrayList<>();
        for (Part part : parts) {
            marked.addAll(mutants(part));
        }
        System.out.printf("%s%n", file.getFileName());
        CompModule world = parse(parts);
        if (!mutants) {
            for (Command command : world.getAllCommands()) {
                if (only == null || name(command).equals(only)) {
                    command(file, world, command, parts.get(0).lines(), traces);
                }
            }
        }
        rules(file, world, parts, marked);
        for (Mutant mutant : marked) {
            if (mutants && (only == null || mutant.name().equals(only))) {
                mutant(parts, mutant);
            }
        }
    }

    /** The model itself, then what it opens from the folder of its name. */
    private static List<Part> parts(Path file) throws Exception {
        Path path = file.toAbsolutePath().normalize();
        List<Part> parts = new ArrayList<>();
        parts.add(new Part(path, Files.readAllLines(path)));
        for (String line : parts.get(0).lines()) {
            Matcher open = OPEN.matcher(line);
            if (open.matches() && !open.group(1).startsWith("util/")) {
                Path opened = path.resolveSibling(open.group(1) + ".als");
                parts.add(new Part(opened, Files.readAllLines(opened)));
            }
        }
        return parts;
    }

    private void command(
            Path file, CompModule world, Command command, List<String> lines, Path traces)
            throws Exception {
        long start = System.currentTimeMillis();
        A4Solution found = solve(world, command);
        long ms = System.currentTimeMillis() - start;
        if (found == null) {
            row(false, name(command), "took too long", expected(command), ms);
            return;
        }
        boolean satisfiable = found.satisfiable();
        boolean isRight = command.expects == (satisfiable ? 1 : 0);
        row(isRight, name(command), result(command, satisfiable), expected(command), ms);
        if (isShown && satisfiable) {
            System.out.print(Trace.json(file.getFileName().toString(), name(command), found));
        }
        boolean isTrace = lines.get(command.pos.y - 1).contains(TRACE);
        if (traces != null && satisfiable && isTrace) {
            Files.createDirectories(traces);
            String model = file.getFileName().toString();
            Path to = traces.resolve(name(command) + ".json");
            Files.writeString(to, Trace.json(model, name(command), found));
        }
    }

    private void mutant(List<Part> parts, Mutant mutant) throws Exception {
        List<Part> changed = new ArrayList<>();
        for (Part part : parts) {
            List<String> lines = new ArrayList<>(part.lines());
            if (part == mutant.part()) {
                lines.set(mutant.line(), mutant.replacement());
            }
            changed.add(new Part(part.path(), lines));
        }
        CompModule world;
        try {
            world = parse(changed);
        } catch (Exception error) {
            fail(mutant.name(), "does not parse: " + error.toString().replace('\n', ' '));
            return;
        }
        for (String broken : mutant.breaks()) {
            Command command = find(world, broken);
            if (command == null || !command.check) {
                fail(mutant.name(), "there is no check " + broken);
                continue;
            }
            long start = System.currentTimeMillis();
            A4Solution found = solve(world, command);
            long ms = System.currentTimeMillis() - start;
            boolean isFound = found != null && found.satisfiable();
            String what = isFound ? "found" : "NOT FOUND";
            row(isFound, mutant.name(), what, "by " + broken, ms);
        }
    }

    private A4Solution solve(CompModule world, Command command) throws Exception {
        var running =
                solver.submit(
                        () ->
                                TranslateAlloyToKodkod.execute_command(
                                        A4Reporter.NOP,
                                        world.getAllReachableSigs(),
                                        command,
                                        options));
        try {
            return running.get(COMMAND_SECONDS_MAX, TimeUnit.SECONDS);
        } catch (TimeoutException late) {
            // The engine cannot be stopped; whatever follows would wait for it.
            System.out.println("a command took too long: " + name(command));
            System.exit(1);
            return null;
        }
    }

    /** What is asked of a model beyond Alloy's own rules. */
    private void rules(
            Path file, CompModule world, List<Part> parts, List<Mutant> marked) {
        Set<String> broken = new TreeSet<>();
        marked.forEach(mutant -> broken.addAll(mutant.breaks()));
        Set<String> names = new LinkedHashSet<>();
        boolean hasRun = false;
        for (Command command : world.getAllCommands()) {
            String name = name(command);
            if (!names.add(name)) {
                fail(name, "two commands have this name");
            }
            if (command.expects != 0 && command.expects != 1) {
                fail(name, "has no `expect`");
            }
            if (command.check && command.expects != 0) {
                fail(name, "a check is expected to hold");
            }
            if (command.check && !broken.contains(name)) {
                fail(name, "no mutant breaks this check: it may be vacuous");
            }
            hasRun |= !command.check && command.expects == 1;
        }
        if (!hasRun) {
            fail(file.toString(), "no `run … expect 1` shows that anything can happen");
        }
        Set<String> seen = new TreeSet<>();
        for (Mutant mutant : marked) {
            if (!seen.add(mutant.name())) {
                fail(mutant.name(), "two mutants have this name");
            }
        }
        parts.forEach(part -> guards(part.lines()));
    }

    /** Every line of a step before its `-- then` is a guard, and has a mutant without it. */
    private void guards(List<String> lines) {
        for (int i = 0; i < lines.size(); i++) {
            if (!lines.get(i).strip().equals("-- then")) {
                continue;
            }
            int head = i;
            while (head > 0 && !PRED.matcher(lines.get(head)).matches()) {
                head--;
            }
            for (int at = head + 1; at < i; at++) {
                String line = lines.get(at).strip();
                int mark = at - 1;
                while (lines.get(mark).strip().startsWith(MORE)) {
                    mark--;
                }
                String above = lines.get(mark).strip();
                boolean isExcused = above.startsWith("-- given") || above.startsWith("-- mutant");
                if (!line.isEmpty() && !line.startsWith("--") && !isExcused) {
                    fail("line " + (at + 1), "a guard without a mutant: " + line);
                }
            }
        }
    }

    /** Marks stand above the line that they change; several may stand above one. */
    private static List<Mutant> mutants(Part part) throws Exception {
        List<String> lines = part.lines();
        List<Mutant> found = new ArrayList<>();
        for (int i = 0; i < lines.size(); i++) {
            Matcher mark = MARK.matcher(lines.get(i));
            if (!mark.matches()) {
                if (lines.get(i).contains("-- mutant")) {
                    throw new Exception(part.path() + ":" + (i + 1) + ": not a mark of a mutant");
                }
                continue;
            }
            int line = i + 1;
            while (line < lines.size() && lines.get(line).strip().startsWith("--")) {
                line++;
            }
            String replacement = mark.group(3) == null ? "" : mark.group(3);
            // Long ones go on in the next lines.
            for (int more = i + 1; lines.get(more).strip().startsWith(MORE); more++) {
                replacement += lines.get(more).strip().substring(MORE.length());
            }
            List<String> breaks = List.of(mark.group(2).split(" "));
            found.add(new Mutant(mark.group(1), part, line, breaks, replacement));
        }
        return found;
    }

    private static CompModule parse(List<Part> parts) throws Exception {
        Map<String, String> loaded = new HashMap<>();
        parts.forEach(
                part -> loaded.put(part.path().toString(), String.join("\n", part.lines())));
        return CompUtil.parseEverything_fromFile(
                A4Reporter.NOP, loaded, parts.get(0).path().toString());
    }

    private static Command find(CompModule world, String name) {
        for (Command command : world.getAllCommands()) {
            if (name(command).equals(name)) {
                return command;
            }
        }
        return null;
    }

    private static String name(Command command) {
        return command.label.substring(command.label.lastIndexOf('/') + 1);
    }

    private static String result(Command command, boolean satisfiable) {
        if (command.check) {
            return satisfiable ? "counterexample" : "holds";
        }
        return satisfiable ? "instance" : "none";
    }

    private static String expected(Command command) {
        return command.expects < 0 ? "nothing" : result(command, command.expects == 1);
    }

    private void row(boolean isRight, String name, String result, String expected, long ms) {
        done++;
        failures += isRight ? 0 : 1;
        String mark = isRight ? "  " : "! ";
        System.out.printf("%s%-36s %-15s %-26s %7d ms%n", mark, name, result, expected, ms);
    }

    private void fail(String name, String why) {
        done++;
        failures++;
        System.out.printf("! %-36s %s%n", name, why);
    }

    /** An instance as JSON: what each state says of every signature and field. */
    static final class Trace {
        static String json(String model, String command, A4Solution found) throws Exception {
            StringBuilder out = new StringBuilder();
            out.append("{\n");
            out.append("\"model\": \"").append(model).append("\",\n");
            out.append("\"command\": \"").append(command).append("\",\n");
            out.append("\"loop\": ").append(found.getLoopState()).append(",\n");
            out.append("\"fixed\": ").append(state(found, 0, false)).append(",\n");
            out.append("\"states\": [");
            for (int i = 0; i < found.getTraceLength(); i++) {
                out.append(i == 0 ? "\n" : ",\n").append(state(found, i, true));
            }
            return out.append("\n]\n}\n").toString();
        }

        static String state(A4Solution found, int at, boolean isVariable) throws Exception {
            Map<String, String> said = new LinkedHashMap<>();
            for (Sig sig : found.getAllReachableSigs()) {
                if (sig.builtin || sig.label.endsWith("/Ord")) {
                    continue;
                }
                boolean isAtom = sig.isOne != null && sig.isVariable == null;
                if ((sig.isVariable != null) == isVariable && !isAtom) {
                    said.put(plain(sig.label), tuples(found.eval(sig, at)));
                }
                for (Sig.Field field : sig.getFields()) {
                    if ((field.isVariable != null) == isVariable) {
                        said.put(field.label, tuples(found.eval(field, at)));
                    }
                }
            }
            List<String> pairs = new ArrayList<>();
            said.forEach((name, value) -> pairs.add("  \"" + name + "\": " + value));
            return "{\n" + String.join(",\n", pairs) + "\n}";
        }

        static String tuples(A4TupleSet set) {
            Set<String> sorted = new TreeSet<>();
            for (A4Tuple tuple : set) {
                List<String> atoms = new ArrayList<>();
                for (int i = 0; i < tuple.arity(); i++) {
                    atoms.add("\"" + plain(tuple.atom(i)) + "\"");
                }
                sorted.add("[" + String.join(", ", atoms) + "]");
            }
            return "[" + String.join(", ", sorted) + "]";
        }

        static String plain(String label) {
            return label.substring(label.lastIndexOf('/') + 1).replace("$", "");
        }
    }
}
