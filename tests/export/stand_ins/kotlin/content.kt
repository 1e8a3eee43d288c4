// Of Android: a context whose assets are the files of a folder.
package android.content

import android.content.res.AssetManager
import java.io.File

class Context(folder: File) {
    val assets = AssetManager(folder)
}
