// What an app does: main FOLDER WIDTH HEIGHT; picture.txt has the pixels as Android packs them.
import android.content.Context
import android.graphics.Bitmap
import java.io.File

fun main(arguments: Array<String>) {
    val folder = File(arguments[0])
    val argb = File(folder, "picture.txt").readLines().map { it.toLong().toInt() }.toIntArray()
    Classifier(Context(folder)).use { println(it.classify(Bitmap(arguments[1].toInt(), arguments[2].toInt(), argb))) }
}
