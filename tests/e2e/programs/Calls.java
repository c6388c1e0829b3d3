import java.io.DataInputStream;
import java.io.File;
import java.io.FileInputStream;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.StandardOpenOption;

/** What Java's programs do to read a file, for the matrix of programs: {@code java Calls CALL SOURCE TARGET}. */
class Calls {
    public static void main(String[] arguments) throws Exception {
        File source = new File(arguments[1]), target = new File(arguments[2]);
        switch (arguments[0]) {
            case "files" -> Files.copy(source.toPath(), target.toPath());
            case "length" -> {
                byte[] data = new byte[(int) source.length()];
                try (DataInputStream in = new DataInputStream(new FileInputStream(source))) {
                    in.readFully(data);
                }
                Files.write(target.toPath(), data);
            }
            default -> {
                try (FileChannel in = FileChannel.open(source.toPath());
                        FileChannel out = FileChannel.open(target.toPath(), StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
                    if (arguments[0].equals("map")) {
                        out.write(in.map(FileChannel.MapMode.READ_ONLY, 0, in.size()));
                        return;
                    }
                    for (long at = 0, sent; (sent = in.transferTo(at, in.size() - at, out)) > 0; ) {
                        at += sent;
                    }
                }
            }
        }
    }
}
